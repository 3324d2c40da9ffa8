//! Run directory, verdict file, report page.
