"""A folder's file system is found, and the ones of the network are known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.mounts import Mount, mount_of, read_mountinfo, silent_mount

TABLE = "\n".join(
    (
        "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard",
        "36 27 0:45 / /mnt/runs rw,relatime shared:12 master:3 - nfs4 host:/runs rw,vers=4.2",
        "37 36 8:17 /sub /mnt/runs/local rw - xfs /dev/sdb1 rw",
        r"38 27 0:46 / /mnt/my\040disk\011\134x rw shared:1 - fuse.sshfs me@host:/a\040b rw",
        "39 27 0:47 / /over rw - ext4 /dev/sdc rw",
        "40 39 0:48 / /over rw - cifs //host/share rw",
        "a line of another kind",
        "",
    )
)


@pytest.mark.parametrize(
    ("folder", "point", "kind"),
    [
        ("/home/me", "/", "ext4"),
        ("/", "/", "ext4"),
        ("/mnt/runs", "/mnt/runs", "nfs4"),
        ("/mnt/runs/a/b", "/mnt/runs", "nfs4"),
        ("/mnt/runs2", "/", "ext4"),
        ("/mnt/runs/local/a", "/mnt/runs/local", "xfs"),
        ("/mnt/my disk\t\\x/a", "/mnt/my disk\t\\x", "fuse.sshfs"),
        ("/over/a", "/over", "cifs"),
    ],
)
def test_the_longest_prefix_decides_and_of_two_the_newer(
    folder: str, point: str, kind: str
) -> None:
    assert mount_of(Path(folder), read_mountinfo(TABLE)) == Mount(Path(point), kind)


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "lustre", "ceph", "fuse.glusterfs", "fuse"],
)
def test_file_systems_of_the_network_are_silent(kind: str) -> None:
    assert Mount(Path("/"), kind).silent


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "zfs", "overlay", "fuseblk"])
def test_those_of_this_machine_are_not(kind: str) -> None:
    assert not Mount(Path("/"), kind).silent


def test_an_empty_table_says_nothing(tmp_path: Path) -> None:
    assert mount_of(tmp_path, read_mountinfo("")) is None


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="only Linux has this table")
def test_this_machine_says_where_its_folders_lie(tmp_path: Path) -> None:
    table = read_mountinfo(os.fsdecode(Path("/proc/self/mountinfo").read_bytes()))
    proc = mount_of(Path("/proc/self"), table)
    assert proc == Mount(Path("/proc"), "proc")
    own = mount_of(tmp_path.resolve(), table)
    assert own is not None
    assert os.path.ismount(own.point)
    assert os.stat(own.point).st_dev == os.stat(tmp_path).st_dev
    assert (silent_mount(tmp_path) is None) == (not own.silent)
