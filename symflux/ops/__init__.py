"""The table of operations: one entry each; importing this package registers them all."""

from .arrange import *  # noqa: F403
from .composed import *  # noqa: F403
from .contract import *  # noqa: F403
from .control import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .index import *  # noqa: F403
from .pairs import *  # noqa: F403
from .products import *  # noqa: F403
from .reduce import *  # noqa: F403
from .shape import *  # noqa: F403
from .windows import *  # noqa: F403
