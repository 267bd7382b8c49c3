"""What is said of features: cards, lists, plans, the catalogue page, and the file of a new one."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from features._cards.card import SHARES, Card, card_columns, card_file_name, make_cards, nearest_of
    from features._cards.catalogue_page import check_page, page_text, write_page
    from features._cards.facts import card_facts, split_meaning
    from features._cards.layout import cards_html, show_card, show_cards
    from features._cards.listing import (
        catalogue_rows,
        catalogue_table,
        plan_facts,
        plan_tables,
        unavailable_table,
    )
    from features._cards.new import FOLDER, Kind, begin_feature, write_feature

__all__ = [
    "FOLDER",
    "SHARES",
    "Card",
    "Kind",
    "begin_feature",
    "card_columns",
    "card_facts",
    "card_file_name",
    "cards_html",
    "catalogue_rows",
    "catalogue_table",
    "check_page",
    "make_cards",
    "nearest_of",
    "page_text",
    "plan_facts",
    "plan_tables",
    "show_card",
    "show_cards",
    "split_meaning",
    "unavailable_table",
    "write_feature",
    "write_page",
]

lazy_face(__name__)
