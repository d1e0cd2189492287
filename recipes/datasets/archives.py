"""Archives: unpacked whole or not at all, after a look at every name in them, or looked into."""

import os
import shutil
import stat
import tarfile
import zipfile
from errno import EINVAL
from pathlib import Path, PureWindowsPath

from recipes.datasets.download import CHUNK, ELSEWHERE
from recipes.datasets.files import locked, whole_folder, writing

LONGEST_NAME = 255  # bytes, in the usual file systems


def unpack(archive, target):
    """Unpack a zip or tar (plain, gz, bz2, xz) file, unless `target` has something in it already.

    A single folder at the top of the archive is dropped, and so is `__MACOSX`.

    Args:
        archive: the file.
        target: the folder to unpack into; it appears when everything is in it.

    Returns:
        `target` as a `Path`.

    Raises:
        FileNotFoundError: no such archive.
        ValueError: a damaged or empty file, or another format; or a member that would land
            outside of `target`, or is a link, a device or a sparse file.
        OSError: the folder cannot be written.
    """
    archive, target = Path(archive), Path(target)

    def there():
        return target.is_dir() and any(target.iterdir())

    if there():
        return target
    if not archive.is_file():
        raise FileNotFoundError(f"there is no archive {archive} to unpack")
    with writing(target, ELSEWHERE), locked(target):
        if not there():
            with whole_folder(target, advice=ELSEWHERE) as folder:
                _extract(archive, folder)
    return target


def look_into(archive):
    """The content of a zip file, which is not unpacked, as a `zipfile.Path`.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return zipfile.Path(archive)
    except Exception as error:  # zipfile raises almost anything
        raise ValueError(f"{archive} is damaged ({error}). Delete it and get it again.") from error


def find_file(names, folder, archive):
    """The first of these files that is in a folder, or else in a zip file; None if there is none.

    Raises:
        ValueError: the zip file is damaged.
    """
    places = [folder, look_into(archive)] if archive.is_file() else [folder]
    found = (place / name for name in names for place in places)
    return next((path for path in found if path.is_file()), None)


def _extract(archive, folder):
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                kinds = (0, stat.S_IFREG, stat.S_IFDIR)  # 0: not packed on Unix
                members = [
                    (m, m.filename, m.is_dir(), stat.S_IFMT(m.external_attr >> 16) in kinds)
                    for m in file.infolist()
                ]
                _copy(_names(members), file.open, folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as file:
                members = [
                    (m, m.name, m.isdir(), (m.isreg() or m.isdir()) and not m.issparse())
                    for m in file
                ]
                named = list(_names(members))
                # tarfile stops reading before the checksum at the end of a .gz: so misses damage.
                # And at a header that is damaged or cut off, as if it were the end: zeros are.
                file.fileobj.seek(file.offset)
                end, rest = file.fileobj.read(tarfile.BLOCKSIZE), b""
                while not rest.strip(b"\0") and (rest := file.fileobj.read(CHUNK)):
                    pass
                if len(end) < tarfile.BLOCKSIZE or (end + rest).strip(b"\0"):
                    raise ValueError(f"it is damaged or cut off after {len(members)} members")
                _copy(named, file.extractfile, folder)
        else:
            raise ValueError("it is neither a whole zip nor a tar file")
    except Exception as error:  # on damaged files both modules raise almost anything
        # The disk is full, or the like; EINVAL is a position that a damaged archive has made up.
        if isinstance(error, OSError) and error.errno not in (None, EINVAL):
            raise
        raise ValueError(
            f"{archive} cannot be unpacked: {error}. Delete it and get it again."
        ) from error


def _copy(members, open_member, folder):
    for member, name in members:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with open_member(member) as source, open(folder / name, "wb") as target:
            shutil.copyfileobj(source, target)


def _names(members):
    """Where each file of an archive is to go, below the target: pairs of a member and a name."""
    found = {}
    for member, name, is_folder, is_plain in members:
        inside = PureWindowsPath(name)  # knows both kinds of slash, and drives
        if inside.drive or inside.root or ".." in inside.parts:
            raise ValueError(f"member {name!r} leads out of the folder")
        if not is_plain:
            raise ValueError(f"member {name!r} is a link, a device or a file with holes")
        if is_folder or inside.parts[:1] == ("__MACOSX",):
            continue
        parts = inside.parts
        if not parts or "\0" in name or max(len(os.fsencode(p)) for p in parts) > LONGEST_NAME:
            raise ValueError(f"member {name!r} has a name that no file can have")
        if parts in found:
            raise ValueError(f"member {name!r} is there twice")
        found[parts] = member
    if not found:
        raise ValueError("there is no file in it")
    for parts in found:
        for end in range(1, len(parts)):
            if parts[:end] in found:
                raise ValueError(f"member {'/'.join(parts[:end])!r} is both a file and a folder")
    top = len({parts[0] for parts in found}) == 1 and all(len(parts) > 1 for parts in found)
    return [(member, "/".join(parts[top:])) for parts, member in found.items()]
