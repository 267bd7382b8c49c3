"""What is said of features: cards, lists, plans, the catalogue page, and the file of a new one."""

from features._cards.card import SHARES, Card, card_columns, card_file_name, make_cards
from features._cards.catalogue_page import check_page, write_page
from features._cards.explain import plan_facts, plan_tables
from features._cards.html import cards_html
from features._cards.listing import catalogue_rows, catalogue_table, unavailable_table
from features._cards.nearest import nearest_of
from features._cards.new import BODIES, FOLDER, Kind, import_feature, next_steps, write_feature
from features._cards.terminal import show_cards
from features._cards.words import split_meaning

__all__ = [
    "BODIES",
    "FOLDER",
    "SHARES",
    "Card",
    "Kind",
    "card_columns",
    "card_file_name",
    "cards_html",
    "catalogue_rows",
    "catalogue_table",
    "check_page",
    "import_feature",
    "make_cards",
    "nearest_of",
    "next_steps",
    "plan_facts",
    "plan_tables",
    "show_cards",
    "split_meaning",
    "unavailable_table",
    "write_feature",
    "write_page",
]
