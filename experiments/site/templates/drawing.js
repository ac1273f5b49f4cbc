const charts = JSON.parse(document.getElementById("charts").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
function draw() {
  const style = getComputedStyle(document.documentElement);
  const text = style.getPropertyValue("--text").trim();
  const line = style.getPropertyValue("--line").trim();
  const narrow = window.innerWidth < 640;
  const labels = { labelColor: text, titleColor: text };
  const config = {
    background: "transparent",
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: { ...labels, gridColor: line, domainColor: line, tickColor: line, labelLimit: narrow ? 160 : 300 },
    legend: { ...labels, orient: "bottom", columns: narrow ? 2 : 5, labelLimit: 150, symbolOpacity: 1 },
    rule: { color: text },
    circle: { color: text },
  };
  for (const [id, spec] of Object.entries(charts)) {
    vegaEmbed(document.getElementById(id), spec, {
      renderer: "svg", actions: false, config, tooltip: { theme: dark.matches ? "dark" : "light" },
    });
  }
}
draw();
dark.addEventListener("change", draw);
