"""A visitor of the page, in a process that loads no model: ``python -m flmm_plugin.soak.visitor ADDRESS``.

What clients hold is then not counted as the server's. Standard input takes a visit a line, as JSON with the fields of
:func:`visit`; for each a line comes back with what was said, null where the visitor left.
"""

from __future__ import annotations

import json
import sys
import time

from gradio_client import Client, handle_file


def visit(address: str, image: str, question: str, leaves: bool) -> str | None:
    """Open a picture, ask, and look for phrases; or leave as soon as the answer has begun."""
    client = Client(address, verbose=False, download_files=False, httpx_kwargs=dict(timeout=120))
    try:
        client.predict(handle_file(image), api_name='/open')
        job = client.submit(question, 'refined', api_name='/ask')
        if leaves:
            while not (job.outputs() or job.done()):
                time.sleep(0.01)
            job.cancel()
            return None
        said = job.result()[0][-1]['content']
        client.predict('the sky; a star', 'refined', api_name='/find')
    finally:
        client.close()
    return said if isinstance(said, str) else said[0]['text']


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(visit(sys.argv[1], **json.loads(line))), flush=True)


if __name__ == '__main__':
    main()
