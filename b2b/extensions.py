"""Flask's extensions, created once and bound to the app in create_app."""

from flask_babel import Babel
from flask_mail import Mail
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect

from b2b.models import Base

db = SQLAlchemy(metadata=Base.metadata, session_options={"expire_on_commit": False})
csrf = CSRFProtect()
mail = Mail()
babel = Babel()
