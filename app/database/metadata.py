"""Imports every table once, so that migrations and tests see the whole schema."""

from sqlmodel import SQLModel

import callwright.app.accounts.models
import callwright.app.audit.models
import callwright.app.calls.models
import callwright.app.compliance.models
import callwright.app.costs.models
import callwright.app.events.models
import callwright.app.leads.models
import callwright.app.recordings.models  # noqa: F401

metadata = SQLModel.metadata
