from typing import Any
open_wallet: Any = None
credit: Any = None
