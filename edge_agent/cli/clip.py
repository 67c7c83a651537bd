"""``edge-agent clip``: cuts a recording, or converts it to MP4."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

_TIME: Final = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,4}):)?(\d{1,6}(?:\.\d{1,9})?)", re.ASCII)


class _Subparsers(Protocol):
    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser: ...


def add_clip(commands: _Subparsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "clip",
        help="cut a recording, or convert it to MP4",
        description="Write a part of a recording, or all of it, to an MP4 file. H.264, H.265 and VP9 are copied "
        "without encoding if the part begins at a key frame; otherwise the pictures are encoded as H.264, exactly at "
        "the given times. Audio is dropped. TIME is in seconds (12.5) or [HH:]MM:SS after the first picture.",
    )
    parser.add_argument("source", type=Path, metavar="IN", help="a video file")
    parser.add_argument("target", type=Path, metavar="OUT", help="the file to write; its name ends in .mp4")
    parser.add_argument(
        "--start", type=clip_time, default=0.0, metavar="TIME", help="beginning of the part (default: 0)"
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--end", type=clip_time, metavar="TIME", help="end of the part (default: the end of the file)")
    end.add_argument("--duration", type=clip_time, metavar="TIME", help="length of the part")
    parser.add_argument("--copy", action="store_true", help="never encode: begin at the key frame at or before --start")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.set_defaults(command=_clip)


def clip_time(text: str) -> float:
    """Return ``SS``, ``MM:SS`` or ``HH:MM:SS`` in seconds; the seconds may have decimals."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write seconds (12.5) or [HH:]MM:SS")
    hours, minutes, seconds = found.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)


def _clip(options: argparse.Namespace) -> int:
    from edge_agent.cli import console
    from edge_agent.images.clip import ClipRequest, write_clip

    end_s = options.end if options.duration is None else options.start + options.duration
    request = ClipRequest(
        source=options.source,
        target=options.target,
        start_s=options.start,
        end_s=end_s,
        copy=options.copy,
        force=options.force,
    )
    with console.clip_bar() as progress:
        summary = write_clip(request, progress=progress)
    if options.json:
        print(json.dumps({"file": str(options.target), **asdict(summary)}))
    else:
        console.show_clip(summary, options.target)
    return 0
