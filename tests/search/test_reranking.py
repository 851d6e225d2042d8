from pathlib import Path

import pytest

from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.search.reranking import Reranker


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real cross-encoder, as small as one can be, with random weights."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny-reranker"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "cat", "the", "sleeps"]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_a_real_cross_encoder_orders_texts(cross_encoder: Path) -> None:
    from sentence_transformers import CrossEncoder

    texts = ["the dog sleeps", "the cat", "cat cat cat", "sleeps"]
    scores = CrossEncoder(str(cross_encoder)).predict([("the dog", text) for text in texts])
    expected = sorted(range(4), key=lambda n: -float(scores[n]))
    assert Reranker(cross_encoder).order("the dog", texts) == expected
    assert Reranker(cross_encoder).order("the dog", []) == []


@pytest.mark.parametrize("model", ["no/such-reranker", "./nowhere"])
def test_a_model_that_is_not_there_is_named(model: str) -> None:
    with pytest.raises(ModelCallError, match=r"reranker '.*(such-reranker|nowhere)'.*hf download"):
        Reranker(model).order("a", ["b"])


def test_a_folder_that_holds_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelCallError, match="could not be loaded"):
        Reranker(tmp_path).order("a", ["b"])
