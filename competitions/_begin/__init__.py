"""Begin a competition: look at the files of a folder, guess what they are, write a first adapter."""

from competitions._begin.new import begin_competition, competition_in

__all__ = ["begin_competition", "competition_in"]
