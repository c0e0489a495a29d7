"""The API's documentation at /docs, in a real browser that reaches nothing but the service."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.web.helpers import Service
from tests.server.web.page_helpers import YES
from tests.slowness import mostly_slow

CLASSIFY = "#operations-default-classify"


def try_it(page: Any, content_type: str) -> Any:
    """The operation /classify, open, with a body of that type chosen."""
    operation = page.locator(CLASSIFY)
    page.click(f"{CLASSIFY} .opblock-summary-control")
    operation.locator("select.content-type").first.select_option(content_type)
    return operation


def answer(operation: Any) -> str:
    operation.locator("button.execute").click()
    return str(operation.locator(".live-responses-table .response").first.inner_text())


@pytest.mark.parametrize("prefix", mostly_slow(["", "some/prefix/"], ""))
def test_the_example_can_be_sent(opened: Any, service: Service, prefix: str) -> None:
    url = service.url + prefix

    def before(page: Any) -> None:
        page.route("**/*", lambda route: route.abort())  # whatever leaves the service, or the path before it
        page.route(
            url + "**",
            lambda route: route.fulfill(
                response=route.fetch(url=route.request.url.replace(url, service.url))
            ),
        )

    with opened(prefix + "docs", before=before) as page:
        page.wait_for_selector(".opblock")
        assert page.locator("button.authorize").count() == 1
        operation = try_it(page, "application/json")
        shown = answer(operation)
        assert shown.startswith("200")
        assert '"score"' in shown
        assert f"'{url}classify?" in operation.locator(".curl-command").inner_text()


@pytest.mark.slow
def test_a_file_can_be_sent(opened: Any) -> None:
    with opened("docs") as page:
        operation = try_it(page, "audio/*")
        operation.locator("input[type=file]").set_input_files(YES)
        assert '"label": "yes"' in answer(operation)


@pytest.mark.slow
def test_a_key_is_asked_for_and_sent(opened: Any) -> None:
    sent = []

    def before(page: Any) -> None:
        def classify(route: Any) -> None:
            sent.append(route.request.headers.get("authorization"))
            route.fulfill(json=[])

        page.route("**/classify*", classify)

    with opened("docs", before=before) as page:
        page.click("button.authorize")
        page.fill(".auth-container input", "a-key-of-mine")
        page.click(".auth-btn-wrapper button.authorize")
        page.click(".auth-btn-wrapper button.btn-done")
        assert answer(try_it(page, "application/json")).startswith("200")
    assert sent == ["Bearer a-key-of-mine"]
