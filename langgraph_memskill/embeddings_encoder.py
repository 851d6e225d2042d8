"""Any LangChain `Embeddings` as a text encoder."""

from langchain_core.embeddings import Embeddings

from langgraph_memskill.cached_encoder import BATCH_SIZE, CACHE_SIZE, CachedEncoder, encodable


class EmbeddingsEncoder(CachedEncoder):
    """Any LangChain `Embeddings` as an encoder: unit rows, a cache, a checked width."""

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        name: str | None = None,
        dim: int | None = None,
        batch_size: int = BATCH_SIZE,
        cache_size: int = CACHE_SIZE,
    ) -> None:
        """Wrap an `Embeddings` object.

        Args:
            embeddings: The object to call.
            name: What stores and controllers record; None takes its `model` or `model_name`
                attribute, or else its class name.
            dim: Width of its vectors; None finds out from the first ones.
            batch_size: Texts a call, >= 1.
            cache_size: Texts whose vectors are kept, >= 0.

        Raises:
            ConfigError: If a size is out of range.
        """
        super().__init__(
            name or _embeddings_name(embeddings),
            batch_size=batch_size,
            cache_size=cache_size,
            dim=dim,
        )
        self._embeddings = embeddings

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like `embed_documents`, through the wrapped object's own async method."""
        keys = [self._readable(text) for text in texts]
        distinct = list(dict.fromkeys(keys))
        vectors = self._cache.find(distinct)
        missing = [key for key in distinct if key not in vectors]
        for start in range(0, len(missing), self._batch_size):
            batch = missing[start : start + self._batch_size]
            try:
                rows = await self._embeddings.aembed_documents(batch)
            except Exception as error:
                raise self._failure(len(batch), error) from error
            vectors |= self._remember(batch, rows)
        return [vectors[key].tolist() for key in keys]

    async def aembed_query(self, text: str) -> list[float]:
        """Like `embed_query`, through the wrapped object's own async method."""
        return (await self.aembed_documents([text]))[0]

    def _readable(self, text: str) -> str:
        # Hosted models refuse an empty string.
        return encodable(text) or " "

    def _compute(self, texts: list[str]) -> object:
        rows: list[list[float]] = []
        for start in range(0, len(texts), self._batch_size):
            batch = texts[start : start + self._batch_size]
            try:
                rows += self._embeddings.embed_documents(batch)
            except Exception as error:
                raise self._failure(len(batch), error) from error
        return rows


def _embeddings_name(embeddings: Embeddings) -> str:
    # LangChain has no common attribute for it; these two are its integrations' habit.
    for attribute in ("model", "model_name"):
        value = getattr(embeddings, attribute, None)
        if isinstance(value, str) and value:
            return value
    return type(embeddings).__name__
