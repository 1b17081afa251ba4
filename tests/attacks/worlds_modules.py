"""Attacks that put a world of the candidate's own in the place of the user's."""

from tests.attacks.worlds_tampering import tampers

# A world of the candidate's own, at the name of the user's.
_OWN_WORLD = """
import textwrap, types
own = types.ModuleType("task.world")
source = textwrap.dedent('''
import gymnasium as gym, torch
from simverse.core.world import World
class Tiny(World):
    max_steps = 5
    def __init__(self, num_envs):
        super().__init__()
        self.num_envs, self.action_space = num_envs, gym.spaces.Discrete(4)
        self.steps = torch.zeros(num_envs, dtype=torch.int64)
    def view(self):
        zeros = torch.zeros(self.num_envs, 2)
        return {"noise": zeros, "steps": self.steps, "done": self.steps >= 5}
    def reset(self):
        self.steps.zero_()
        return self.view()
    def step(self, actions):
        self.steps += 1
        return self.view(), 100.0 * torch.ones(self.num_envs), self.steps >= 5, {}
def create_world(config, *, num_envs=None, device="cpu", dtype=torch.float32):
    return Tiny(num_envs)
''')
"""
_PLACED = (
    _OWN_WORLD
    + """
exec(source, own.__dict__)
package = types.ModuleType("task")
package.__path__ = []
sys.modules["task"], sys.modules["task.world"] = package, own
"""
)
_FOUND = (
    _OWN_WORLD
    + """
import importlib.util
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "task.world":
            return importlib.util.spec_from_loader(name, Finder)
    @staticmethod
    def create_module(spec):
        return None
    @staticmethod
    def exec_module(module):
        exec(source, module.__dict__)
sys.meta_path.insert(0, Finder)
"""
)
_FILES = (
    _OWN_WORLD
    + """
places = {os.getcwd(), os.path.dirname(os.path.dirname(HERE))}
for place in places:
    folder = os.path.join(place, "task")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "world.py"), "w") as file:
        file.write(source)
"""
)

MODULES = (
    tampers(
        "place-the-module",
        "puts a world of its own into sys.modules before the user's is imported",
        _PLACED,
        strikes="import of train",
        is_long=False,
    ),
    tampers(
        "place-an-importer",
        "puts an importer in front that gives its own world for the user's",
        _FOUND,
        strikes="import of train",
    ),
    tampers(
        "place-files",
        "writes task/world.py into its folders before the user's is imported",
        _FILES,
        strikes="import of train",
    ),
)
