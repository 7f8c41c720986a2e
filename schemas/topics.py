"""Topic names, the event names each input topic carries, and where a customer lives.

The names map one to one from the e-commerce events of the Segment spec (Product Viewed -> product_viewed);
feedback, loyalty and referral names are Footfall's own: no public spec has them.
"""

from __future__ import annotations

from typing import Final

CLICKSTREAM: Final = "clickstream"
PURCHASE: Final = "purchase"
APP: Final = "app"
SOCIAL: Final = "social"
FEEDBACK: Final = "feedback"
IDENTITY: Final = "identity"

SEGMENT_CHANGES: Final = "segment-changes"
PROFILES: Final = "profiles"
TRAINING_EXAMPLES: Final = "training-examples"
MODELS: Final = "models"
DEAD_LETTERS: Final = "dead-letters"

EVENT_NAMES: Final[dict[str, tuple[str, ...]]] = {
    CLICKSTREAM: (
        "page_viewed", "product_viewed", "product_list_viewed", "product_searched", "product_added",
        "product_removed", "cart_viewed", "checkout_started", "checkout_step_completed",
        "payment_info_entered", "wishlist_added", "coupon_applied", "ad_clicked", "file_downloaded",
        "review_written", "error_shown",
    ),
    PURCHASE: ("order_completed", "order_refunded", "order_cancelled"),
    APP: (
        "app_opened", "screen_viewed", "feature_used", "scan_paid", "push_opened", "location_updated",
        "app_crashed",
    ),
    SOCIAL: (
        "liked", "commented", "shared", "followed", "mentioned", "referral_sent", "referral_converted",
    ),
    FEEDBACK: (
        "survey_answered", "complaint_opened", "complaint_resolved", "return_requested",
        "support_contacted", "suggestion_made",
    ),
    IDENTITY: ("identified", "aliased", "traits_updated"),
}  # fmt: skip

INPUT_TOPICS: Final = tuple(EVENT_NAMES)
OUTPUT_TOPICS: Final = (SEGMENT_CHANGES, PROFILES, TRAINING_EXAMPLES, MODELS, DEAD_LETTERS)
COMPACTED_TOPICS: Final = (PROFILES, MODELS)
SINGLE_PARTITION_TOPICS: Final = (TRAINING_EXAMPLES, MODELS)

CHANNELS: Final = ("web", "app", "store", "social", "service", "other")

CLOCK_HEADER: Final = "footfall-clock"
"""A record with this header and no value is a clock marker; the header's value is the instant, ms, as ASCII digits."""

REDRIVE_HEADER: Final = "footfall-redrive"
"""A refused record that was sent again carries this header; its value is the id of the dead letter it came from."""

REFUSED_HEADER: Final = "footfall-refused"
"""Beside it: the reason it was refused for, by which a worker knows whether its event was counted already."""

REDRIVEN_HEADER: Final = "footfall-redriven"
"""On a record of `dead-letters` without a value, under a letter's id: the letter was sent again, to this topic."""

MAX_RECORD_BYTES: Final = 1_000_000
