"""A saved student on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from outgrow.errors import StoreError


def files_of(folder: Path) -> dict[str, int]:
    """Return the bytes of every file that `publish` would send, by its name in the repository."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}


def publish(folder: Path, name: str, *, private: bool = True) -> str:
    """Create a model repository, send all files of a folder to it, and return its address.

    The token is the one of `hf auth login`, or HF_TOKEN.

    Args:
        folder: A folder written by `save_student`.
        name: `owner/name`, of a repository that is not there yet.
        private: Whether only its owner sees it.

    Raises:
        StoreError: The hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    try:
        address = HfApi().create_repo(name, private=private, exist_ok=False)
        HfApi().upload_folder(repo_id=address.repo_id, folder_path=folder, commit_message="Add a student of outgrow")
    except (OSError, ValueError) as error:
        raise StoreError(
            f"The student cannot be sent to {name}.",
            found=str(error).strip().partition("\n")[0],
            fix=f"Log in (hf auth login), or name a new repository; the student itself is in {folder}.",
        ) from error
    return str(address)
