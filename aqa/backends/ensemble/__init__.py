"""The backend `ensemble`: several readers that answer as one."""
