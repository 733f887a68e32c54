"""What is there: versions, devices, data sets."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark import registry
from benchmark.data import catalogue, images, shifted
from benchmark.data.sources import SOURCES
from benchmark.errors import LetheError
from benchmark.files import cache_folder
from benchmark.runner.environment import cpu_model, versions


@dataclass(frozen=True)
class Finding:
    """One line of the report; `ok` is None for what is neither right nor wrong."""

    subject: str
    text: str
    ok: bool | None


def examine() -> list[Finding]:
    """Look at the installation, the devices, the folders and each data set; download nothing."""
    return [*_software(), *_devices(), *_folders(), *_methods(), *_data()]


def _software() -> list[Finding]:
    found = versions()
    findings = [Finding("versions", ", ".join(f"{k} {v}" for k, v in found.items()), True)]
    if importlib.util.find_spec("wandb") is None:
        findings.append(Finding("wandb", "not installed: --track will not work", False))
    return findings


def _devices() -> list[Finding]:
    cpu = f"{cpu_model()}, {os.cpu_count()} cores"
    if not torch.cuda.is_available():
        return [Finding("cpu", cpu, True), Finding("gpu", "none that torch can use", None)]
    return [Finding("cpu", cpu, True), Finding("gpu", torch.cuda.get_device_name(), True)]


def _folders() -> list[Finding]:
    try:
        data = images.local_folder()
        text = str(data) if data else "not set: sets are downloaded"
        findings = [Finding("LETHE_DATA", text, None)]
    except LetheError as error:
        findings = [Finding("LETHE_DATA", str(error), False)]
    cache = cache_folder()
    writable = os.access(_existing_parent(cache), os.W_OK)
    text = str(cache) if writable else f"{cache} cannot be written"
    findings.append(Finding("cache", text, writable))
    return findings


def _methods() -> list[Finding]:
    try:
        found = registry.discover()
    except LetheError as error:
        return [Finding("methods", str(error), False)]
    return [Finding("methods", ", ".join(found), True)]


def _data() -> list[Finding]:
    findings = []
    for name in catalogue.NAMES:
        try:
            if name == shifted.NAME:  # a gigabyte, to be told what is known
                findings.append(Finding(f"data {name}", "made of mnist when asked for", None))
                continue
            if name in SOURCES and not _is_at_hand(name):
                text = "not here yet: set LETHE_DATA"
                if SOURCES[name].hub is not None:
                    text += ", or it is downloaded when first asked for"
                findings.append(Finding(f"data {name}", text, None))
                continue
            dataset = catalogue.load(name)
            test = f", {len(dataset.test.labels)} test" if dataset.test is not None else ""
            rows = f"{len(dataset.train.labels)} train{test} rows, content hash verified"
            if name in SOURCES:
                rows += f" ({SOURCES[name].citation})"
            findings.append(Finding(f"data {name}", rows, True))
        except LetheError as error:
            findings.append(Finding(f"data {name}", str(error), False))
    return findings


def _is_at_hand(name: str) -> bool:
    source = SOURCES[name]
    return all(
        images.cached_file(source, split).exists() or images.local_files(source, split)
        for split in source.hashes
    )


def _existing_parent(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
