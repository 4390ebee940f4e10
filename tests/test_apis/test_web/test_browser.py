"""The page as a person sees it, in a browser."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flmm_plugin.apis.web.answers import pieces

QUESTION = 'Describe the image.'
CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
DRIVER = shutil.which('chromedriver')
PARTS = 'upload examples picture view presence all masks chat question ask phrases find answer details'.split()
CUT_OFF = """
const parts = [...document.querySelectorAll('#upload, #upload *')];
return parts.some(part => part.clientHeight > 0 && part.scrollHeight > part.clientHeight + 1);
"""
BOXES = """
return arguments[0].map(name => {
    const box = document.getElementById(name).getBoundingClientRect();
    return [box.left, box.top, box.right, box.bottom];
});
"""
SET = """
arguments[0].value = arguments[1];
arguments[0].dispatchEvent(new Event('input', {bubbles: true}));
arguments[0].dispatchEvent(new Event('blur', {bubbles: true}));
"""


@pytest.fixture
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip('selenium.webdriver', reason='driving a browser needs selenium')
    if CHROMIUM is None or DRIVER is None:
        pytest.skip('no browser: install the Debian packages chromium and chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    size = '--window-size=1300,1150'
    for argument in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', size):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def wait_for(what, seconds: float = 60) -> Any:
    """The first true value of ``what()``; pages take their time."""
    from selenium.common.exceptions import StaleElementReferenceException

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := what():
                return found
        except StaleElementReferenceException:
            pass
        time.sleep(0.1)
    raise TimeoutError(f'nothing after {seconds} s')


def test_a_person_uploads_asks_and_sees_the_masks(browser, address, inferencer, scenes) -> None:
    def find(selector: str) -> list[Any]:
        return browser.find_elements('css selector', selector)

    def source() -> str:
        images = find('#picture img')
        return images[0].get_attribute('src') if images else ''

    answer = inferencer(scenes[1], QUESTION)
    browser.get(address)
    wait_for(lambda: find('#upload input[type=file]'))[0].send_keys(str(scenes[1]))
    uploaded = wait_for(source)
    find('#question textarea')[0].send_keys(QUESTION)
    find('#ask')[0].click()
    marked = wait_for(lambda: find('#answer .highlighted'))
    assert [e.text for e in marked] == [text for text, index in pieces(answer) if index is not None]
    assert len({e.value_of_css_property('background-color') for e in marked}) == len(answer.phrases)
    assert answer.answer in find('#chat .bot')[-1].text
    all_shown = wait_for(lambda: source() not in ('', uploaded) and source())
    marked[1].click()
    alone = wait_for(lambda: source() not in ('', all_shown) and source())
    find('#view input[value=attention]')[0].click()
    wait_for(lambda: source() not in ('', all_shown, alone))
    find('#view input[value=refined]')[0].click()
    find('#all')[0].click()
    wait_for(lambda: source() not in ('', alone))
    surest = find('#presence input[type=number]')[0]
    browser.execute_script(SET, surest, '1')
    wait_for(lambda: not find('#answer .highlighted'))
    browser.execute_script(SET, surest, '0')
    wait_for(lambda: find('#answer .highlighted'))
    if folder := os.environ.get('FLMM_SCREENSHOTS'):
        browser.save_screenshot(str(Path(folder) / 'web_demo.png'))


@pytest.mark.parametrize('size', [(360, 740), (1300, 1150)])
def test_a_visitor_without_a_picture_clicks_an_example(browser, address, size) -> None:
    browser.execute_cdp_cmd(
        'Emulation.setDeviceMetricsOverride',
        dict(width=size[0], height=size[1], deviceScaleFactor=1, mobile=size[0] < 500),
    )

    def find(selector: str) -> list[Any]:
        return browser.find_elements('css selector', selector)

    browser.get(address)
    examples = wait_for(lambda: len(found := find('#examples button img')) == 3 and found)
    wait_for(lambda: all(image.get_property('naturalWidth') for image in examples))
    assert not browser.execute_script(CUT_OFF), 'something of the upload box is cut off'
    examples[1].click()
    wait_for(lambda: find('#picture img'))
    find('#question textarea')[0].send_keys(QUESTION)
    browser.execute_script('arguments[0].click()', find('#ask')[0])
    wait_for(lambda: find('#answer .highlighted'))
    assert browser.execute_script('return document.documentElement.scrollWidth') <= size[0]
    boxes = browser.execute_script(BOXES, PARTS)  # at one moment: the page may still be moving
    for index, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0 and right <= size[0], PARTS[index]
        for other, (x0, y0, x1, y1) in zip(PARTS[:index], boxes[:index], strict=True):
            across, down = min(right, x1) - max(left, x0), min(bottom, y1) - max(top, y0)
            assert min(across, down) < 0.5, f'{PARTS[index]} and {other} overlap by {across} x {down} pixels'
