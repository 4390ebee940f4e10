"""A web page to talk about images and see where the things are that the answers name.

python tools/web_demo.py --config CONFIG --checkpoint CHECKPOINT     # then open http://127.0.0.1:7860
python tools/web_demo.py --lmm LMM --sam SAM_FILE                    # any LMM, nothing trained

It is served to this machine alone. --host 0.0.0.0 serves it to the network, to everybody who reaches the port.
"""

from __future__ import annotations

import argparse
import importlib.util

from flmm_plugin.apis.arguments import add_model_arguments, load_inferencer
from flmm_plugin.errors import UserError, readable_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--host', default='127.0.0.1', help='address to listen on')
    parser.add_argument('--port', type=int, default=7860, help='port to listen on')
    parser.add_argument('--max-upload-mb', type=int, default=20, help='largest file that is taken')
    parser.add_argument('--examples', nargs='*', help='pictures to click on; three drawn scenes by default')
    add_model_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with readable_errors():
        if importlib.util.find_spec('gradio') is None:
            raise UserError("the web page needs Gradio: pip install 'flmm_plugin[web]'")
        from flmm_plugin.apis.web import build_page, launch_options

        page = build_page(load_inferencer(args), max_new_tokens=args.max_new_tokens, examples=args.examples)
        page.launch(
            server_name=args.host,
            server_port=args.port,
            max_file_size=args.max_upload_mb * 2**20,
            **launch_options(),
        )


if __name__ == '__main__':
    main()
