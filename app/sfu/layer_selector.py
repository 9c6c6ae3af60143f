"""Which layer a subscriber should get: the best one that lives and is not above its maximum.

Until the wanted layer's next keyframe the current one goes on; the caller switches there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

HIGH = 2


def max_spatial(max_quality: int, qualities: Sequence[int], layer_count: int) -> int:
    """Return the highest spatial layer that a quality allows.

    `qualities` are those the publisher declared, lowest first; `layer_count` how many layers
    it sends. With two layers, the lower is the lowest declared quality and the upper the
    highest, whatever they are called.
    """
    if layer_count <= 1:
        return 0
    if layer_count == 2:
        low = qualities[0] if qualities else 0
        high = qualities[-1] if len(qualities) > 1 else HIGH
        steps: Sequence[int] = (low, high)
    elif len(qualities) == layer_count:
        steps = qualities
    else:
        steps = range(layer_count)
    fitting = [spatial for spatial, quality in enumerate(steps) if quality <= max_quality]
    return max(fitting, default=0)


def target_layer(allowed: int, live: Collection[int], current: int | None) -> int | None:
    """Return the layer to be on: the highest live one up to `allowed`, else the lowest live.

    With nothing alive the current layer stays: it may come back, and nothing is better.
    """
    if not live:
        return current
    below = [spatial for spatial in live if spatial <= allowed]
    return max(below) if below else min(live)
