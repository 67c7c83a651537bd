"""Distinguishes changed areas: an object, a change of light on the same surface, or a ghost where an object has left.

The tests compare structure rather than brightness: light and shadow keep the texture of the surface, and an object that
leaves takes its outline with it.
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
    dilated,
    distance,
    edges,
    either,
    eroded,
    inverse,
    larger,
    mask_where,
    minus,
    relit,
)

_MIN_TEXTURE_LEVELS = 7.0
_SAME_TEXTURE = 0.85
_MIN_PIXELS = 20
_MIN_GAIN = 0.2
_NEIGHBOURHOOD = (5, 5)
_SAME_TEXTURE_NEARBY = 0.75
_MIN_RATIO, _MAX_RATIO = 0.3, 1.8
_MIN_PLAIN_RATIO, _MAX_PLAIN_RATIO = 0.25, 1.3
_SHARP_SHARE = 0.5

_OUTLINE_CONTRAST = 0.3
_OUTLINE_SHARE = 0.06
_LIT_EDGE = 0.4

_MIN_CONTRAST_LEVELS = 8.0
_CONTRAST_GONE = 0.35
_OUTLINE_GONE = 0.6
_MIN_OUTLINE_LEVELS = 4.0


def lit_within(background: Plane, frame: Plane, limit: Plane, inside: Plane) -> Plane | None:
    """Return the mask of the pixels of the changed area ``inside`` that a change of light explains.

    One gain and one offset are fitted to the area. All planes are windows of one shape. Returns None if the texture
    differs or is too weak to decide.
    """
    where = inside > 0
    before, after = background[where].astype(np.float32), frame[where].astype(np.float32)
    if before.size < _MIN_PIXELS:
        return None
    mean_before, mean_after = float(before.mean()), float(after.mean())
    before -= mean_before
    after -= mean_after
    power_before, power_after = float(np.mean(before * before)), float(np.mean(after * after))
    common = float(np.mean(before * after))
    if power_before < _MIN_TEXTURE_LEVELS**2 or common < _SAME_TEXTURE * (power_before * power_after) ** 0.5:
        return None
    gain = common / power_before
    if gain < _MIN_GAIN:
        return None
    explained = relit(background, gain, mean_after - gain * mean_before)
    return minus(inside, above(distance(frame, explained), limit))


def only_lit(background: Plane, frame: Plane, limit: Plane) -> Plane:
    """Return the mask of the pixels where the frame may be the background in another light.

    They are moderately brighter or darker. On a textured surface they have the same texture (correlation over 5x5
    pixels); on a plain surface there is no new sharp edge.
    """
    before, after = background.astype(np.float32), frame.astype(np.float32)
    mean_before, mean_after = _local_mean(before), _local_mean(after)
    before -= mean_before
    after -= mean_after
    texture, texture_now, common = _local_mean(before * before), _local_mean(after * after), _local_mean(before * after)
    same_texture = common > _SAME_TEXTURE_NEARBY * np.sqrt(texture * texture_now)
    textured = texture > _MIN_TEXTURE_LEVELS**2
    ratio = (mean_after + 1.0) / (mean_before + 1.0)
    on_texture = same_texture & (ratio > _MIN_RATIO) & (ratio < _MAX_RATIO)
    plain = (ratio > _MIN_PLAIN_RATIO) & (ratio < _MAX_PLAIN_RATIO)
    on_plain = both(mask_where(plain), inverse(dilated(_new_edges(background, frame, limit))))
    return np.where(textured, mask_where(on_texture), on_plain)


def _local_mean(plane: FloatPlane) -> FloatPlane:
    return np.asarray(cv2.blur(plane, _NEIGHBOURHOOD), np.float32)


def _new_edges(background: Plane, frame: Plane, limit: Plane) -> Plane:
    """Return the mask of edges that only the frame has and that are sharper than those of shadows."""
    contrast = dilated(distance(frame, background))
    return above(minus(edges(frame), edges(background)), larger(limit, relit(contrast, _SHARP_SHARE)))


def has_outline(background: Plane, difference: Plane, limit: Plane, body: Plane) -> bool:
    """Return whether a part of a body's border is sharp, as the borders of objects are.

    Headlights on the ground, the shadow of a cloud, and an insect or a drop on the lens, which is out of focus, fade
    over many pixels. ``difference`` is the absolute difference of the frame from the background. All planes are windows
    of one shape, with a margin around the mask ``body``.
    """
    # The mask of a body may be some pixels wider than the object.
    ring = minus(dilated(body, 7), eroded(body, 7))
    contrast = cv2.mean(difference, body)[0] * _OUTLINE_CONTRAST
    # A change of light differs along existing edges, by a part of their height.
    border = minus(edges(difference), relit(edges(background), _LIT_EDGE))
    sharp = above(border, larger(limit, np.full_like(limit, min(255, round(contrast)))))
    return count(both(sharp, ring)) >= _OUTLINE_SHARE * count(ring)


def has_left(background: Plane, frame: Plane, inside: Plane, objects: Plane) -> bool:
    """Return whether ``inside``, a part of the mask ``objects``, is a ghost: its outline is only in the background.

    Only the outline that does not border on other objects is compared; it must be at least half of the whole outline.
    """
    around = minus(dilated(inside), inside)
    outer = minus(around, objects)
    if 2 * count(outer) < count(around):
        return False
    ring = dilated(outer)
    edge_before, edge_now = cv2.mean(edges(background), ring)[0], cv2.mean(edges(frame), ring)[0]
    if edge_before >= _MIN_OUTLINE_LEVELS and edge_now < _OUTLINE_GONE * edge_before:
        return True
    outside = minus(dilated(dilated(outer, 7)), either(inside, objects))
    before, now = _contrast(background, inside, outside), _contrast(frame, inside, outside)
    return before >= _MIN_CONTRAST_LEVELS and now < _CONTRAST_GONE * before


def _contrast(picture: Plane, inside: Plane, outside: Plane) -> float:
    """Return the contrast of an area with its surroundings: the differences of mean and deviation, in levels."""
    mean_in, spread_in = cv2.meanStdDev(picture, mask=inside)
    mean_out, spread_out = cv2.meanStdDev(picture, mask=outside)
    return abs(mean_in.item() - mean_out.item()) + abs(spread_in.item() - spread_out.item())
