"""What a person sees once the product is up."""

from __future__ import annotations

from pathlib import Path

from config.launcher import local_model

CREDENTIALS = ("DASHSCOPE_API_KEY", "DEEPSEEK_API_KEY")


def compose(environment: dict[str, str], seeded: dict[str, str], data: Path) -> str:
    """The banner's text: where to look, how to sign in, and a call that works as it stands."""
    url = environment["TTONK_BASE_URL"]
    call = (
        f"  curl {url}/v1/chat/completions \\\n"
        f"    -H 'Authorization: Bearer {seeded['api_key']}' \\\n"
        "    -H 'Content-Type: application/json' \\\n"
        '    -d \'{"model": "qwen-turbo", "messages": '
        '[{"role": "user", "content": "Say hello in five words."}]}\''
    )
    return f"""
ttonkapi is ready on {url}

  docs       {url}/docs
  operator   {url}/admin/   {seeded["email"]}   {seeded["password"] or "(the password you chose)"}
  key        {seeded["api_key"]}   (organization {seeded["organization"]})

{call}

{_upstreams(environment)}
Commands:  .venv/bin/python manage.py …   (on these same servers)
Mails:     {_mails(environment, data)}
Logs:      {data / "logs"}
Ctrl-C stops everything.
"""


def _upstreams(environment: dict[str, str]) -> str:
    live = [name for name in CREDENTIALS if environment.get(name)]
    if len(live) == len(CREDENTIALS):
        return f"Upstreams: live, by {' and '.join(live)}."
    absent = " and ".join(name for name in CREDENTIALS if name not in live)
    which = "The other catalog models" if live else "All five catalog models"
    return (
        f"Upstreams: {which} are answered by the local model {local_model.NAME},\n"
        f"           because no upstream credential is configured. Set {absent}\n"
        "           and start again to reach the real ones."
    )


def _mails(environment: dict[str, str], data: Path) -> str:
    if environment.get("EMAIL_URL"):
        return "sent as EMAIL_URL says"
    return f"written to files in {data / 'mail'}"
