from reparam.serving.app import application as application
from reparam.serving.limits import Limits as Limits
from reparam.serving.server import serve as serve
