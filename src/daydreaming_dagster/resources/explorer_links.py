"""Where Dagster's pages lead to in the explorer: an asset to a page about its kind, a partition to its generation."""

from collections.abc import Iterable
from functools import lru_cache

from dagster import AssetsDefinition, AssetSpec, MetadataValue, SourceAsset, UrlMetadataValue

from daydreaming_dagster.settings import Settings

LINK = "explorer"
"""Under this name the link stands among an asset's and a materialization's metadata."""

_PAGES = {
    **dict.fromkeys(("selected_combo_mappings", "content_combinations", "register_cohort_partitions"), "/"),
    **dict.fromkeys(("cohort_id", "cohort_membership", "budget"), "/"),
    **dict.fromkeys(
        ("ratings_long", "rating_health", "agreement", "judge_card", "variance_components", "d_study"), "/judges"
    ),
    **dict.fromkeys(("evaluator_agreement_analysis", "comprehensive_variance_analysis"), "/judges"),
    "concept_effects": "/maps",
}
_PAGE_OF_OTHERS = "/essays"


def link_generation(gen_id: str) -> dict[str, UrlMetadataValue]:
    """Metadata that leads to a generation's page; empty when DD_EXPLORER_URL is."""
    return _link(f"/generation/{gen_id}")


def link_assets(assets: Iterable[AssetsDefinition | SourceAsset]) -> list[AssetsDefinition | SourceAsset]:
    """The same assets, each with a link to a page of the explorer among its metadata; raw inputs have none."""
    return [
        asset.map_asset_specs(_link_spec) if isinstance(asset, AssetsDefinition) and asset.is_executable else asset
        for asset in assets
    ]


def _link_spec(spec: AssetSpec) -> AssetSpec:
    return spec.merge_attributes(metadata=_link(_PAGES.get(spec.key.to_user_string(), _PAGE_OF_OTHERS)))


def _link(page: str) -> dict[str, UrlMetadataValue]:
    address = _read_address()
    return {LINK: MetadataValue.url(address + page)} if address else {}


@lru_cache(maxsize=1)
def _read_address() -> str:
    """Read once: a bulk run links thousands of generations."""
    return Settings().explorer_url.rstrip("/")
