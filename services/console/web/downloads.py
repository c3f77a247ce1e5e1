"""Download the files of a batch; who did, and in which format, is recorded."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask

from services.console.files import FileFormat, save
from services.console.queries import batches as queries
from services.console.web.pages import OpenPage
from shared.errors import Refused

router = APIRouter()
SUFFIXES = {"csv": ".csv", "xlsx": ".xlsx", "iif": ".iif"}
ARCHIVE = ".zip"


@router.post("/batches/{batch_id}/download")
async def download(
    page: OpenPage,
    batch_id: str,
    form_id: Annotated[str, Form()],
    file_format: Annotated[FileFormat, Form()],
) -> Response:
    """The files of a batch: one file, or an archive of one for each document."""
    folder = Path(tempfile.mkdtemp(prefix="backoffice-download-"))
    try:
        async with page.snapshot() as connection:
            batch = await queries.batch(connection, batch_id)
            company = page.require_company(batch["billing_company"])
            name = f"{batch_id}-{file_format}{SUFFIXES.get(file_format, ARCHIVE)}"
            await save(connection, batch, file_format, folder / name)
        outcome = await page.act(
            form_id,
            "record-download",
            billing_company=company,
            batch_id=batch_id,
            file_format=file_format,
        )
        if outcome.refusal is not None:
            raise Refused(outcome.refusal.code, outcome.refusal.message, outcome.refusal.fix)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    remove = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(folder / name, filename=name, background=remove)
