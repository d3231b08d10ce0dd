"""Which file system a folder lies on, and whether it tells of what other machines change there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

MOUNTINFO = Path("/proc/self/mountinfo")

# They tell of changes made on this machine alone. FUSE may be anything, so all of it is here: at
# worst the timer finds what a hint would have told of seconds earlier.
_SILENT = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs", "lustre"),
        *("ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "smb2", "smb3"),
        *("smbfs", "vboxsf", "virtiofs", "vmhgfs", "wekafs", "fuse"),
    }
)

_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A line of mountinfo: where something is mounted, and the kind of file system."""

    point: Path
    kind: str

    @property
    def silent(self) -> bool:
        """Whether changes made on another machine cause no events here."""
        return self.kind in _SILENT or self.kind.startswith("fuse.")


def read_mountinfo(text: str) -> list[Mount]:
    """The mounts in order, later ones over earlier ones, as proc(5) describes the lines."""
    found = []
    for line in text.splitlines():
        # Any number of optional fields stand before the lone hyphen, and the kind after it.
        before, hyphen, after = line.partition(" - ")
        fields = before.split(" ")
        if hyphen and len(fields) > 4:
            found.append(Mount(Path(_unescaped(fields[4])), _unescaped(after.split(" ")[0])))
    return found


def mount_of(folder: Path, mounts: list[Mount]) -> Mount | None:
    """The mount that `folder`, absolute and without links, lies in: the longest prefix's newest."""
    found = None
    for mount in mounts:
        if folder.is_relative_to(mount.point) and (
            found is None or len(mount.point.parts) >= len(found.point.parts)
        ):
            found = mount
    return found


def silent_mount(folder: Path) -> Mount | None:
    """The mount `folder` lies in, if that is silent; None also where no kernel says so."""
    try:
        text = os.fsdecode(MOUNTINFO.read_bytes())
    except OSError:
        return None
    mount = mount_of(Path(os.path.realpath(folder)), read_mountinfo(text))
    return mount if mount is not None and mount.silent else None


def _unescaped(field: str) -> str:
    r"""Space, tab, newline and backslash are written as \040, \011, \012 and \134."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), field)
