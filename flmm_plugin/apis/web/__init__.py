"""The web page: upload an image, talk about it, see where the things are."""

from flmm_plugin.apis.web.page import build_page, launch_options

__all__ = ['build_page', 'launch_options']
