"""Where the benchmarks' data comes from, under which licences, and with which checksums."""

from dataclasses import dataclass

_GITHUB = "https://raw.githubusercontent.com"
_LOCOMO_REVISION = "3eb6f2c585f5e1699204e3c3bdf7adc5c28cb376"
_LONGMEMEVAL_REVISION = "98d7416c24c778c2fee6e6f3006e7a073259d48f"
_MEMSKILL_REVISION = "028f0db4e6954b70548999e75ed8c07fd64b5eaf"
_HOTPOTQA_REVISION = "27275ff4fee67ac0acb6478e405e7ac07efbdc1a"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One file at its official address."""

    name: str
    url: str = ""
    """Address outside the Hugging Face hub; "" for a file of the data set's hub repository. Each
    names a revision, so that what it gives cannot change."""
    sha256: str | None = None
    """None where nobody has published it; then the hub's own record is used, if there is one."""
    num_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """The files of one benchmark."""

    name: str
    title: str
    page: str
    """For people."""
    licence: str
    notice: str
    """What the licence asks for, in a sentence."""
    files: tuple[DataFile, ...]
    hub_repository: str = ""
    hub_revision: str = ""


DATA_SETS = {
    data_set.name: data_set
    for data_set in (
        DataSet(
            name="locomo",
            title="LoCoMo (Maharana et al., 2024)",
            page="https://github.com/snap-research/locomo",
            licence="CC BY-NC 4.0",
            notice="Name the authors; no commercial use.",
            files=(
                DataFile(
                    name="locomo10.json",
                    url=f"{_GITHUB}/snap-research/locomo/{_LOCOMO_REVISION}/data/locomo10.json",
                    sha256="79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4",
                    num_bytes=2_805_274,
                ),
            ),
        ),
        DataSet(
            name="longmemeval",
            title="LongMemEval-S, cleaned (Wu et al., 2025), with MemSkill's split file",
            page="https://huggingface.co/datasets/xiaowu0162/longmemeval-cleaned",
            licence="MIT",
            notice="Keep the authors' copyright notice with copies.",
            hub_repository="xiaowu0162/longmemeval-cleaned",
            hub_revision=_LONGMEMEVAL_REVISION,
            files=(
                DataFile(
                    name="longmemeval_s_cleaned.json",
                    sha256="d6f21ea9d60a0d56f34a05b609c79c88a451d2ae03597821ea3d5a9678c3a442",
                    num_bytes=277_383_467,
                ),
                DataFile(
                    name="longmemeval_s_splits.json",
                    url=f"{_GITHUB}/ViktorAxelsen/MemSkill/{_MEMSKILL_REVISION}"
                    "/data/longmemeval_s_splits.json",
                ),
            ),
        ),
        DataSet(
            name="hotpotqa",
            title="HotpotQA (Yang et al., 2018) over 50, 100, 200 documents (MemAgent)",
            page="https://huggingface.co/datasets/BytedTsinghua-SIA/hotpotqa",
            licence="CC BY-SA 4.0",
            notice="Name the authors; pass changed versions on under the same licence.",
            hub_repository="BytedTsinghua-SIA/hotpotqa",
            hub_revision=_HOTPOTQA_REVISION,
            files=tuple(DataFile(name=f"eval_{number}.json") for number in (50, 100, 200)),
        ),
    )
}
"""The data sets by name."""
