"""What is there: versions, devices, data sets."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark import registry
from benchmark.data import catalogue, images
from benchmark.data.named import NamedSet
from benchmark.errors import LetheError
from benchmark.files import cache_folder
from benchmark.runner.device import cpu_model, versions


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
        findings.append(Finding("wandb", "not installed: --track needs it", None))
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
    try:
        found = catalogue.discover()
    except LetheError as error:
        return [Finding("data", str(error), False)]
    return [_set(one) for one in found.values()]


def _set(one: type[NamedSet]) -> Finding:
    """A data set: whether it is here, and is what it should be."""
    subject = f"data {one.name}"
    if one.made_of is not None:  # it takes long, to be told what is known
        return Finding(subject, f"made of {one.made_of} when asked for", None)
    try:
        if remedy := one.absent():
            return Finding(subject, f"not here yet: {remedy}", None)
        dataset = catalogue.load(one.name)
    except LetheError as error:
        return Finding(subject, str(error), False)
    test = f", {len(dataset.test.labels)} test" if dataset.test is not None else ""
    rows = f"{len(dataset.train.labels)} train{test} rows, content hash verified"
    return Finding(subject, f"{rows} ({one.source})", True)


def _existing_parent(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
