"""Is a changed area a thing, or only light on the surface that was there before, or the place something left?

Both questions look at structure rather than brightness: light and shadow keep the texture beneath them, and a thing
that has gone takes its outline with it.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_agent.motion.image_ops import (
    FloatPlane,
    Plane,
    above,
    both,
    count,
    distance,
    edges,
    either,
    grown,
    inverse,
    larger,
    mask_where,
    minus,
    relit,
    worn,
)

_LEAST_TEXTURE_LEVELS = 7.0
_SAME_TEXTURE = 0.85
_LEAST_PIXELS = 20
_LEAST_GAIN = 0.2
_AROUND = (5, 5)
_SAME_TEXTURE_NEARBY = 0.75
_DEEPEST_SHADOW, _BRIGHTEST_LIGHT = 0.3, 1.8
_DEEPEST_PLAIN_SHADOW, _BRIGHTEST_PLAIN_LIGHT = 0.25, 1.3
_SHARP_SHARE = 0.5

_OUTLINE_CONTRAST = 0.3
_OUTLINE_SHARE = 0.06
_LIT_EDGE = 0.4

_LEAST_STRANGENESS_LEVELS = 8.0
_STRANGENESS_GONE = 0.35
_OUTLINE_GONE = 0.6
_LEAST_OUTLINE_LEVELS = 4.0


def lit_within(background: Plane, frame: Plane, limit: Plane, inside: Plane) -> Plane | None:
    """Where the changed area ``inside`` (non-zero) keeps its texture, return what light explains of it (255).

    A gain and an offset are fitted to the area; its pixels that the fit explains are light. All planes are windows of
    one shape. None if the texture differs or is too weak to decide.
    """
    where = inside > 0
    before, after = background[where].astype(np.float32), frame[where].astype(np.float32)
    if before.size < _LEAST_PIXELS:
        return None
    mean_before, mean_after = float(before.mean()), float(after.mean())
    before -= mean_before
    after -= mean_after
    power_before, power_after = float(np.mean(before * before)), float(np.mean(after * after))
    common = float(np.mean(before * after))
    if power_before < _LEAST_TEXTURE_LEVELS**2 or common < _SAME_TEXTURE * (power_before * power_after) ** 0.5:
        return None
    gain = common / power_before
    if gain < _LEAST_GAIN:
        return None
    explained = relit(background, gain, mean_after - gain * mean_before)
    return minus(inside, above(distance(frame, explained), limit))


def only_lit(background: Plane, frame: Plane, limit: Plane) -> Plane:
    """Return where the frame could be the background in another light: moderately brighter or darker, and on a textured

    surface with the same texture (correlation over 5x5 pixels), on a plain one without a new sharp edge.
    """
    before, after = background.astype(np.float32), frame.astype(np.float32)
    mean_before, mean_after = _nearby(before), _nearby(after)
    before -= mean_before
    after -= mean_after
    texture, texture_now, common = _nearby(before * before), _nearby(after * after), _nearby(before * after)
    same_texture = common > _SAME_TEXTURE_NEARBY * np.sqrt(texture * texture_now)
    textured = texture > _LEAST_TEXTURE_LEVELS**2
    ratio = (mean_after + 1.0) / (mean_before + 1.0)
    on_texture = same_texture & (ratio > _DEEPEST_SHADOW) & (ratio < _BRIGHTEST_LIGHT)
    plain = (ratio > _DEEPEST_PLAIN_SHADOW) & (ratio < _BRIGHTEST_PLAIN_LIGHT)
    on_plain = both(mask_where(plain), inverse(grown(_new_edges(background, frame, limit))))
    return np.where(textured, mask_where(on_texture), on_plain)


def _nearby(plane: FloatPlane) -> FloatPlane:
    return np.asarray(cv2.blur(plane, _AROUND), np.float32)


def _new_edges(background: Plane, frame: Plane, limit: Plane) -> Plane:
    """Return where the frame has an edge that the background has not, as sharp as those of things, not of shadows."""
    contrast = grown(distance(frame, background))
    return above(minus(edges(frame), edges(background)), larger(limit, relit(contrast, _SHARP_SHARE)))


def has_outline(background: Plane, difference: Plane, limit: Plane, body: Plane) -> bool:
    """Return whether a changed area has a sharp border somewhere, as things have.

    Headlights that sweep the ground, a cloud's shadow, and what is out of focus on the lens (an insect, a drop) fade
    out over many pixels. ``difference`` is the frame's from the background; all planes are windows of one shape, with
    room around the ``body``.
    """
    # A mask of what changed may be some pixels wider than the thing.
    ring = minus(grown(body, 7), worn(body, 7))
    contrast = cv2.mean(difference, body)[0] * _OUTLINE_CONTRAST
    # Light on an edge that was there before differs along that edge, by a part of its height.
    border = minus(edges(difference), relit(edges(background), _LIT_EDGE))
    sharp = above(border, larger(limit, np.full_like(limit, min(255, round(contrast)))))
    return count(both(sharp, ring)) >= _OUTLINE_SHARE * count(ring)


def has_left(background: Plane, frame: Plane, inside: Plane, things: Plane) -> bool:
    """Return whether ``inside``, a part of ``things``, is a ghost: an outline in the background, not in the frame.

    Only the outline towards what is no thing counts, and it must be at least half of the whole.
    """
    around = minus(grown(inside), inside)
    outer = minus(around, things)
    if 2 * count(outer) < count(around):
        return False
    ring = grown(outer)
    edge_before, edge_now = cv2.mean(edges(background), ring)[0], cv2.mean(edges(frame), ring)[0]
    if edge_before >= _LEAST_OUTLINE_LEVELS and edge_now < _OUTLINE_GONE * edge_before:
        return True
    outside = minus(grown(grown(outer, 7)), either(inside, things))
    before, now = _strangeness(background, inside, outside), _strangeness(frame, inside, outside)
    return before >= _LEAST_STRANGENESS_LEVELS and now < _STRANGENESS_GONE * before


def _strangeness(picture: Plane, inside: Plane, outside: Plane) -> float:
    """Return how much an area differs from its surroundings in brightness and in texture, in levels."""
    mean_in, spread_in = cv2.meanStdDev(picture, mask=inside)
    mean_out, spread_out = cv2.meanStdDev(picture, mask=outside)
    return abs(mean_in.item() - mean_out.item()) + abs(spread_in.item() - spread_out.item())
