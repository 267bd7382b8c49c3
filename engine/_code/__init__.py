"""Digests of the code that Python objects are made of."""

from engine._code.digest import cached_digest, code_digest, digested_elsewhere, whole_files
from engine._code.source import REPOSITORY, module_file

__all__ = ["REPOSITORY", "cached_digest", "code_digest", "digested_elsewhere", "module_file", "whole_files"]
