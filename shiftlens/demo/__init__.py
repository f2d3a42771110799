"""The counting world: a small multilingual world and a base model that half knows it.

Nine languages count to twenty-nine and ask which number comes next, comes before, is larger, is
smaller, is the sum. The dominant language has seen nearly every item, the others fewer.
"""

from shiftlens.demo.files import DemoCorpus, demo_corpus, demo_model_path, write_demo_files
from shiftlens.demo.items import DOMINANT, EXPOSURE, GROUPS, LANGUAGES, group_of
from shiftlens.demo.world import parallel_texts, pretraining_texts, sft_records

__all__ = [
    "DOMINANT",
    "EXPOSURE",
    "GROUPS",
    "LANGUAGES",
    "DemoCorpus",
    "demo_corpus",
    "demo_model_path",
    "group_of",
    "parallel_texts",
    "pretraining_texts",
    "sft_records",
    "write_demo_files",
]
