"""GPT-1's supervised fine-tuning: four input transformations, one head, and L3 = L2 + lambda L1."""
