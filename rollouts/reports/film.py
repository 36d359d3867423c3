"""Films of worlds: pictures written as a GIF, or as a video where moviepy is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from ...envs.engine.drawing import as_png, from_png
from ...envs.errors import ConfigError, short
from ...envs.files import check_writable, whole_file

VIDEOS = (".mp4", ".webm", ".mov", ".mkv")
_CODECS = {".webm": "libvpx-vp9"}
_FORMS = f"name a .gif, or one of {', '.join(VIDEOS)}"


class Film:
    """Pictures in their order, kept as PNG until they are written.

    Args:
        path: Of the file: its suffix says which kind.
        fps: Pictures a second.

    Raises:
        ConfigError: No such kind of file, one that cannot be written, or no moviepy for a video.
    """

    def __init__(self, path: Path, fps: float = 10.0) -> None:
        self.path, self.fps = path, fps
        self._pictures: list[bytes] = []
        self._high = self._wide = 0
        if path.suffix.lower() not in (".gif", *VIDEOS):
            raise ConfigError(f"{short(str(path))} is no file of a film: {_FORMS}")
        check_writable(path)
        if path.suffix.lower() in VIDEOS:
            try:
                import moviepy  # noqa: F401
            except ImportError:
                raise ConfigError(
                    f"{path.suffix} needs moviepy: pip install 'studyhall[video]', or name a .gif"
                ) from None

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._pictures)

    def add(self, picture: np.ndarray) -> None:
        """One more, uint8 ``[H, W, 3]``."""
        self._high, self._wide = max(self._high, picture.shape[0]), max(self._wide, picture.shape[1])
        self._pictures.append(as_png(picture))

    def write(self) -> None:
        """Write the file, whole or not at all; the last picture stays for a second.

        Raises:
            ConfigError: It cannot be written.
        """
        with whole_file(self.path) as file:
            if self.path.suffix.lower() == ".gif":
                shown = [Image.fromarray(self._framed(png)).quantize(128) for png in self._pictures]
                each = round(1000 / self.fps)
                times = [each] * (len(shown) - 1) + [max(1000, each)]
                shown[0].save(file, "GIF", save_all=True, append_images=shown[1:], duration=times, loop=0)
            else:
                file.write(self._encoded())

    def _encoded(self) -> bytes:
        """The video."""
        from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

        suffix = self.path.suffix.lower()
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / f"film{suffix}"
            size = (self._wide + self._wide % 2, self._high + self._high % 2)  # as most players need it
            codec = _CODECS.get(suffix, "libx264")
            with FFMPEG_VideoWriter(str(made), size, self.fps, codec=codec) as writer:
                for png in self._pictures:
                    writer.write_frame(self._framed(png, size))
                for _ in range(round(self.fps)):
                    writer.write_frame(self._framed(self._pictures[-1], size))
            return made.read_bytes()

    def _framed(self, png: bytes, size: tuple[int, int] | None = None) -> np.ndarray:
        """A picture with white around it where another is larger."""
        picture = from_png(png)
        wide, high = size or (self._wide, self._high)
        missing = ((0, high - picture.shape[0]), (0, wide - picture.shape[1]), (0, 0))
        return np.ascontiguousarray(np.pad(picture, missing, constant_values=255))
