"""The error of whoever uses the model, told apart from those of the code itself."""


class UserError(ValueError):
    """Something that a person can mend: the message says where, what is wrong, and what to do.

    The console command says it in one line. Any other `ValueError` is a fault of the code, and keeps its traceback.
    """
