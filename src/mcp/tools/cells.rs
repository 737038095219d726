//! Tools for opening, reading and editing notebooks on the runtime. The names and arguments are those of colab-mcp's front end.

use jiff::Timestamp;
use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{Applied, DocumentError, Edit, Target, Wanted, fresh_id};
use crate::mcp::call;
use crate::mcp::cells;
use crate::mcp::fault::Fault;
use crate::mcp::report::{List, Report};
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::reading::MAX_TEXT_CHARS;
use crate::render::rows::{Rows, short_time};
use crate::runtime::RuntimeError;
use crate::wire::files::FileEntry;

#[derive(Debug, Deserialize, JsonSchema)]
struct OpenArgs {
    /// Path of an .ipynb file on the runtime; without it they are listed.
    notebook: Option<String>,
    /// Create it if it is not there.
    create: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct GetArgs {
    /// First index; default 0.
    from: Option<usize>,
    /// Last index; default the last cell.
    to: Option<usize>,
    /// Default true.
    include_outputs: Option<bool>,
    /// Default the opened one.
    notebook: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AddCodeArgs {
    /// The source.
    code: String,
    /// Its index; default the end.
    cell_index: Option<usize>,
    /// Default the opened one.
    notebook: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AddTextArgs {
    /// Markdown.
    content: String,
    /// Its index; default the end.
    cell_index: Option<usize>,
    /// Default the opened one.
    notebook: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct UpdateArgs {
    /// The whole new source.
    content: String,
    /// From get_cells.
    cell_id: Option<String>,
    /// For a cell without an id of its own.
    cell_index: Option<usize>,
    /// The cell's version as read: refused if it has changed.
    expect: Option<String>,
    /// Default the opened one.
    notebook: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DeleteArgs {
    /// From get_cells.
    cell_id: Option<String>,
    /// For a cell without an id of its own.
    cell_index: Option<usize>,
    /// The cell's version as read: refused if it has changed.
    expect: Option<String>,
    /// Default the opened one.
    notebook: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct MoveArgs {
    /// Its new index.
    cell_index: usize,
    /// From get_cells.
    cell_id: Option<String>,
    /// Its index now, for a cell without an id of its own.
    from: Option<usize>,
    /// Default the opened one.
    notebook: Option<String>,
}

/// What an edit made of a cell.
#[derive(Debug, Serialize)]
struct EditReport {
    success: bool,
    notebook: String,
    /// None if it was deleted.
    cell_index: Option<usize>,
    cell_id: Option<String>,
    version: Option<String>,
    /// Number of cells.
    cells: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct ListFacts {
    success: bool,
    folder: String,
    notebooks: usize,
    /// There are more.
    is_cut: Option<bool>,
}

#[tool_router(router = cell_router)]
impl Server {
    #[tool(
        title = "Open notebook",
        input_schema = schema::input::<OpenArgs>(),
        description = "Open or create a notebook on the runtime: the cell tools then use it. Without a name, list the notebooks.",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn open_notebook(
        &self,
        Parameters(args): Parameters<OpenArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let documents = &self.floors.documents;
        let Some(path) = args.notebook else {
            let list = self
                .at_turn(&context, async |deadline| documents.list(deadline).await)
                .await?;
            let now = Timestamp::now();
            let row = |file: &FileEntry| {
                let time = short_time(&file.modified_at, now);
                [file.name.clone(), file.size.to_string(), time]
            };
            let rows = Rows::new(
                ["notebook", "bytes", "modified"],
                list.entries.iter().map(row),
            );
            let fitting = rows.fitting(self.client(&context).list_bytes());
            let facts = ListFacts {
                success: true,
                notebooks: fitting,
                is_cut: (fitting < rows.len() || list.next_cursor.is_some()).then_some(true),
                folder: list.path.clone(),
            };
            let table = rows.first(fitting).render();
            return Ok(List { facts, table }.into());
        };
        let create = args.create.unwrap_or(false);
        let opened = self.at_turn(&context, async |deadline| {
            documents.open(&path, create, deadline).await
        });
        Ok(Report(opened.await?).into())
    }

    #[tool(
        title = "Get cells",
        input_schema = schema::input::<GetArgs>(),
        description = "Read a notebook's cells on the runtime: source, id, version, outputs as text and pictures. Indices count from 0; next_from \
            continues.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn get_cells(
        &self,
        Parameters(args): Parameters<GetArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let documents = &self.floors.documents;
        let path = documents.named(args.notebook)?;
        let client = self.client(&context);
        let wanted = Wanted {
            from: args.from.unwrap_or(0),
            to: args.to,
            with_outputs: args.include_outputs.unwrap_or(true),
            room: client.room(MAX_TEXT_CHARS),
        };
        let page = self.at_turn(&context, async |deadline| {
            documents.page(&path, wanted, deadline).await
        });
        let page = page.await?;
        Ok(cells::page(page, client))
    }

    #[tool(
        title = "Add code cell",
        input_schema = schema::input::<AddCodeArgs>(),
        description = "Add a code cell to a notebook on the runtime. It is not run.",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false, open_world_hint = false)
    )]
    async fn add_code_cell(
        &self,
        Parameters(args): Parameters<AddCodeArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<EditReport>, Fault> {
        self.add("code", args.code, args.cell_index, args.notebook, &context)
            .await
    }

    #[tool(
        title = "Add text cell",
        input_schema = schema::input::<AddTextArgs>(),
        description = "Add a Markdown cell to a notebook on the runtime.",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false, open_world_hint = false)
    )]
    async fn add_text_cell(
        &self,
        Parameters(args): Parameters<AddTextArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<EditReport>, Fault> {
        self.add(
            "markdown",
            args.content,
            args.cell_index,
            args.notebook,
            &context,
        )
        .await
    }

    #[tool(
        title = "Update cell",
        input_schema = schema::input::<UpdateArgs>(),
        description = "Replace a cell's source; its outputs stay until it is run.",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn update_cell(
        &self,
        Parameters(args): Parameters<UpdateArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<EditReport>, Fault> {
        let edit = Edit::Update {
            cell: Target {
                id: args.cell_id,
                index: args.cell_index,
            },
            expect: args.expect,
            source: args.content,
        };
        self.edit(args.notebook, edit, &context).await
    }

    #[tool(
        title = "Delete cell",
        input_schema = schema::input::<DeleteArgs>(),
        description = "Delete a cell of a notebook on the runtime.",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = false)
    )]
    async fn delete_cell(
        &self,
        Parameters(args): Parameters<DeleteArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<EditReport>, Fault> {
        let edit = Edit::Delete {
            cell: Target {
                id: args.cell_id,
                index: args.cell_index,
            },
            expect: args.expect,
        };
        self.edit(args.notebook, edit, &context).await
    }

    #[tool(
        title = "Move cell",
        input_schema = schema::input::<MoveArgs>(),
        description = "Move a cell of a notebook on the runtime to another index.",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn move_cell(
        &self,
        Parameters(args): Parameters<MoveArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<EditReport>, Fault> {
        let edit = Edit::Move {
            cell: Target {
                id: args.cell_id,
                index: args.from,
            },
            expect: None,
            to: args.cell_index,
        };
        self.edit(args.notebook, edit, &context).await
    }
}

impl Server {
    pub(super) fn cell_tools() -> ToolRouter<Self> {
        Self::cell_router()
    }

    async fn add(
        &self,
        kind: &'static str,
        source: String,
        index: Option<usize>,
        notebook: Option<String>,
        context: &RequestContext<RoleServer>,
    ) -> Result<Report<EditReport>, Fault> {
        let id = fresh_id();
        let edit = Edit::Insert {
            index,
            kind,
            source,
            id,
            tags: &[],
        };
        self.edit(notebook, edit, context).await
    }

    async fn edit(
        &self,
        notebook: Option<String>,
        edit: Edit,
        context: &RequestContext<RoleServer>,
    ) -> Result<Report<EditReport>, Fault> {
        let documents = &self.floors.documents;
        let work = async |deadline| {
            let path = documents.named(notebook.clone())?;
            documents.edit(&path, edit.clone(), deadline).await
        };
        Ok(Report(self.at_turn(context, work).await?.into()))
    }

    /// Does work on a notebook after that of earlier calls, until the call's deadline, or until the client no longer waits.
    pub(super) async fn at_turn<T>(
        &self,
        context: &RequestContext<RoleServer>,
        work: impl AsyncFnOnce(tokio::time::Instant) -> Result<T, DocumentError>,
    ) -> Result<T, Fault> {
        let budget = self.budget(context);
        let done = call::run(self, context, budget, async |call| {
            call.await_turn().await;
            let (cancelled, gone) = (call.cancelled.clone(), call.gone.clone());
            tokio::select! {
                biased;
                () = cancelled.cancelled() => Err(RuntimeError::Cancelled.into()),
                () = gone.cancelled() => Err(RuntimeError::Cancelled.into()),
                done = work(call.deadline) => done,
            }
        });
        Ok(done.await?)
    }
}

impl From<Applied> for EditReport {
    fn from(applied: Applied) -> Self {
        let cells = applied.notebook.cells();
        let cell = applied.index.and_then(|index| cells.get(index));
        Self {
            success: true,
            notebook: applied.path,
            cell_index: applied.index,
            cell_id: cell.and_then(|cell| cell.id.clone()),
            version: cell.map(|cell| cell.version()),
            cells: cells.len(),
            warning: applied.notice.map(cells::warning),
        }
    }
}
