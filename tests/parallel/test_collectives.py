"""Bytes on the wire, read from a module's text."""

from gpt_jax.parallel.collectives import Collective, by_kind, collectives

MODULE = """HloModule step

%condition (p: (s32[], f32[4,8])) -> pred[] {
  %p = (s32[], f32[4,8]) parameter(0)
  %bound = s32[]{:T(128)} constant(6)
  %counter = s32[]{:T(128)} get-tuple-element(%p), index=0
  ROOT %lt = pred[] compare(%counter, %bound), direction=LT
}

%body (p: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {
  %p = (s32[], f32[4,8]) parameter(0)
  %counter = s32[] get-tuple-element(%p), index=0
  %two = s32[] constant(2)
  %next = s32[] add(%counter, %two)
  %x = f32[4,8] get-tuple-element(%p), index=1
  %gathered = bf16[16,8]{1,0:T(8,128)} all-gather(%x), channel_id=1, replica_groups=[2,4]<=[8], dimensions={0}
  ROOT %out = (s32[], f32[4,8]) tuple(%next, %x)
}

%all-reduce-scatter.1 (p: f32[32]) -> f32[8] {
  %p = f32[32] parameter(0)
  ROOT %sum = f32[32]{0} all-reduce(%p), channel_id=2, replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
}

ENTRY %main (a: f32[4,8]) -> f32[4,8] {
  %a = f32[4,8] parameter(0)
  %loop = (s32[], f32[4,8]) while(%t), condition=%condition, body=%body
  %start = (f32[10], f32[10]) collective-permute-start(%a), channel_id=3, source_target_pairs={{0,1},{1,0}}
  %done = f32[10] collective-permute-done(%start)
  %fused = f32[8] fusion(%a), kind=kCustom, calls=%all-reduce-scatter.1
  ROOT %all = f32[100] all-reduce(%a), channel_id=4, replica_groups=mesh['x'=2,'y'=4] {'x','y'}, to_apply=%add
}
"""


def test_kinds_sizes_groups_and_loops_are_read():
    found = {c.kind: c for c in collectives(MODULE)}
    assert found["all-gather"] == Collective("all-gather", 16 * 8 * 2, group=4, times=3)  # 0, 2, 4: below 6
    assert found["reduce-scatter"] == Collective("reduce-scatter", 32, group=4, times=1)
    assert found["collective-permute"].bytes == 40
    assert found["all-reduce"] == Collective("all-reduce", 400, group=8, times=1)


def test_bytes_sent_are_those_of_a_ring():
    sent = by_kind(collectives(MODULE))
    assert sent["all-gather"] == (3, 3 * 256 * 3 / 4)
    assert sent["reduce-scatter"] == (1, 32 * 3)
    assert sent["all-reduce"] == (1, 2 * 400 * 7 / 8)
    assert sent["collective-permute"] == (1, 40)
