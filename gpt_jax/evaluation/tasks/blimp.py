"""BLiMP (Warstadt et al. 2020): which of two sentences is likelier, in 67 sets of 1,000 minimal pairs.

Each sentence is scored by its log-probability after end of text. The sentence stands after a space, as it would in
running text. `blimp` has all pairs (the sets are equally large), and `blimp_SET` has one set.
"""

from __future__ import annotations

from functools import partial

from gpt_jax.data.public_files import Files, parse_jsonl, tfds_rows
from gpt_jax.evaluation.inference.requests import Answer, Choice, Request, choices
from gpt_jax.evaluation.metrics import mean
from gpt_jax.evaluation.task import Item, Row, Task

FIELDS = {"sentence_good": str, "sentence_bad": str, "UID": str}
FILES = ("BLiMP.zip", "blimp.zip", "BLiMP/data", "blimp/data", "blimp")


def items(files: Files, only: str | None = None) -> list[Item]:
    """Reads the .jsonl files as distributed, from their archive or folder. Without a folder, reads TFDS's."""
    if files.root is None and not files.has(*FILES):
        rows = [row for name in ([only] if only else SETS) for row in tfds_rows(f"blimp/{name}", "train")]
    else:
        parts = files.members(".jsonl", *FILES)
        kept = [(name, text) for name, text in parts if only in (None, name[: -len(".jsonl")])]
        rows = [row for name, text in kept for row in parse_jsonl(text, name, FIELDS)]
    return [{"good": row["sentence_good"], "bad": row["sentence_bad"], "set": row["UID"]} for row in rows]


def requests(item: Item, shown: str) -> list[Request]:
    return [Choice(shown, (f" {item['good']}", f" {item['bad']}"))]


def score(item: Item, answers: list[Answer]) -> Row:
    good, bad = choices(answers[0])
    return {"correct": good.log_prob > bad.log_prob}


NAMES = """
    adjunct_island anaphor_gender_agreement anaphor_number_agreement animate_subject_passive animate_subject_trans
    causative complex_NP_island coordinate_structure_constraint_complex_left_branch
    coordinate_structure_constraint_object_extraction determiner_noun_agreement_1 determiner_noun_agreement_2
    determiner_noun_agreement_irregular_1 determiner_noun_agreement_irregular_2 determiner_noun_agreement_with_adj_2
    determiner_noun_agreement_with_adj_irregular_1 determiner_noun_agreement_with_adj_irregular_2
    determiner_noun_agreement_with_adjective_1 distractor_agreement_relational_noun
    distractor_agreement_relative_clause drop_argument ellipsis_n_bar_1 ellipsis_n_bar_2
    existential_there_object_raising existential_there_quantifiers_1 existential_there_quantifiers_2
    existential_there_subject_raising expletive_it_object_raising inchoative intransitive
    irregular_past_participle_adjectives irregular_past_participle_verbs irregular_plural_subject_verb_agreement_1
    irregular_plural_subject_verb_agreement_2 left_branch_island_echo_question left_branch_island_simple_question
    matrix_question_npi_licensor_present npi_present_1 npi_present_2 only_npi_licensor_present only_npi_scope passive_1
    passive_2 principle_A_c_command principle_A_case_1 principle_A_case_2 principle_A_domain_1 principle_A_domain_2
    principle_A_domain_3 principle_A_reconstruction regular_plural_subject_verb_agreement_1
    regular_plural_subject_verb_agreement_2 sentential_negation_npi_licensor_present sentential_negation_npi_scope
    sentential_subject_island superlative_quantifiers_1 superlative_quantifiers_2 tough_vs_raising_1 tough_vs_raising_2
    transitive wh_island wh_questions_object_gap wh_questions_subject_gap wh_questions_subject_gap_long_distance
    wh_vs_that_no_gap wh_vs_that_no_gap_long_distance wh_vs_that_with_gap wh_vs_that_with_gap_long_distance
"""
SETS = NAMES.split()

TASKS = tuple(
    Task(
        name=f"blimp_{only}" if only else "blimp",
        summary=f"minimal pairs: {only.replace('_', ' ') if only else 'all 67 sets'}",
        source="Warstadt et al. 2020; not in the GPT papers",
        items=partial(items, only=only),
        requests=requests,
        score=score,
        metrics=(mean("correct", "accuracy", chance=50.0),),
        example=lambda item: item["good"],
        delimiter="\n",
    )
    for only in (None, *SETS)
)
