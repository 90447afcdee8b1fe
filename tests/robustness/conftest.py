from ..cli.conftest import channel_model, photos

__all__ = ["channel_model", "photos"]
