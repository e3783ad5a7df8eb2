"""The sink to compare with: aiosmtpd as it comes, whose handler discards every mail.

python -m bench.baseline.discarding_sink PORT
"""

import asyncio
import sys

from aiosmtpd.smtp import SMTP, Envelope, Session


class Discarding:
    """Takes everything, keeps nothing."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        return "250 OK"


async def serve(port: int) -> None:
    """Until the process is told to stop."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Discarding(), hostname="localhost", loop=loop), "127.0.0.1", port, backlog=512
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
