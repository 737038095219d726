//! Prompts: tasks that a user starts by name in their client, as instructions that use the tools well.

use rmcp::handler::server::prompt::PromptContext;
use rmcp::handler::server::router::prompt::PromptRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{GetPromptRequestParams, GetPromptResponse, Prompt, PromptMessage, Role};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, prompt, prompt_router};
use schemars::JsonSchema;
use serde::Deserialize;

use super::methods;
use super::server::Server;
use crate::edge::toolsets::{Toolset, Toolsets};

/// The toolsets of the tools that each prompt names.
const NEEDS: [(&str, &[Toolset]); 5] = {
    use Toolset::{
        Cells, Checkpoints, Chunked, Code, Connection, Files, Jobs, Notebook, NotebookRuns,
        Reading, Sessions, Uploads, Variables,
    };
    [
        ("train_a_model", &[Connection, Code, Chunked, Jobs, Files]),
        (
            "analyse_a_dataset",
            &[Connection, Code, Files, Uploads, Reading, Notebook],
        ),
        (
            "resume_work",
            &[Connection, Code, Chunked, Jobs, Checkpoints, Variables],
        ),
        (
            "free_memory",
            &[Connection, Jobs, Files, Sessions, Variables],
        ),
        (
            "reproduce_a_notebook",
            &[Connection, Code, Files, Uploads, Cells, NotebookRuns],
        ),
    ]
};

#[derive(Debug, Deserialize, JsonSchema)]
struct TrainArgs {
    /// What to train, on which data, and what counts as success.
    task: String,
    /// Name under which progress is kept, and by which it is resumed.
    name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AnalyseArgs {
    /// The data: a path on the runtime or on this computer, or an address.
    path: String,
    /// What to find out.
    question: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ResumeArgs {
    /// A checkpoint_name; default: whatever is unfinished.
    name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct FreeArgs {
    /// memory, gpu or disk; default: whatever is short.
    what: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ReproduceArgs {
    /// Path of the notebook on the runtime.
    notebook: String,
    /// Parameters to set, as `epochs=3, seed=1`; default: its own.
    parameters: Option<String>,
}

#[prompt_router(vis = "pub(super)")]
impl Server {
    #[prompt(
        title = "Train a model",
        description = "Train a model so that lost connections and machines cost at most one batch"
    )]
    fn train_a_model(&self, Parameters(args): Parameters<TrainArgs>) -> Vec<PromptMessage> {
        let name = or(args.name, "a telling one that you choose");
        says(format!(
            "Train a model: {task}\n\n\
             1. probe_colab_environment shows GPU, memory and packages: choose device, precision and batch size for them. Install what is missing with \
             `%pip install` in run_code_long.\n\
             2. Load the data and train a few steps with run_code_quick. Show me the shapes, one example and the loss before the long run, and estimate \
             its time from the time of a step.\n\
             3. Train with run_chunked_operation, checkpoint_name {name}, an epoch or a fixed number of steps an iteration. Its setup_code defines all that \
             the loop needs and loads the newest saved weights if there are any; its loop_code saves the weights and the optimizer's state to a file, and ends \
             with an expression for the metrics of the iteration, such as a dict of losses.\n\
             4. It runs on by itself: follow it with get_output and the name as job_id, and tell me the metrics at each look. If the loss is nan or does \
             not fall, stop it with interrupt_execution and say why before you change anything.\n\
             5. At its end plot the metrics, evaluate on data that it was not trained on, and fetch the weights with download_from_colab. Report the scores, \
             the settings and the path of the file.",
            task = args.task,
        ))
    }

    #[prompt(
        title = "Analyse a dataset",
        description = "Look at a dataset before trusting it, then answer with numbers and plots"
    )]
    fn analyse_a_dataset(&self, Parameters(args): Parameters<AnalyseArgs>) -> Vec<PromptMessage> {
        let question = or(
            args.question,
            "What is in it, how good is it, and what stands out?",
        );
        says(format!(
            "Analyse the data at {path}\nThe question: {question}\n\n\
             1. Find it: list_colab_files for the runtime; if it is on my computer, send it with upload_to_colab.\n\
             2. Look before you load: read_colab_file shows the schema and first rows of CSV, Parquet, HDF5, SQLite and archives without running code. Compare its \
             size with the free memory in check_colab_connection; load only columns or a sample if it does not fit several times over.\n\
             3. Load it once with run_code_quick, and keep it in a variable for the later calls. Check types, missing values, duplicates, ranges and units, and \
             name what looks wrong before you draw conclusions.\n\
             4. Answer the question with numbers and a few labelled plots. Say how many rows each number rests on, and what you left out.\n\
             5. End with the findings in order of importance, and what the data cannot tell. export_notebook keeps the work as a notebook.",
            path = args.path,
        ))
    }

    #[prompt(
        title = "Resume work",
        description = "Find out what ran while nobody watched, and continue it without repeating any"
    )]
    fn resume_work(&self, Parameters(args): Parameters<ResumeArgs>) -> Vec<PromptMessage> {
        let what = match args.name {
            Some(name) => format!("what is kept under {name}: get_checkpoint with it shows plan, progress and results"),
            None => "what is unfinished: list_jobs shows running code and the newest jobs, list_checkpoints the operations with their progress".to_owned(),
        };
        says(format!(
            "Resume earlier work.\n\n\
             1. Look at {what}. check_colab_connection says whether the runtime is there, and whether it is another one than before.\n\
             2. Read the output that nobody has seen with get_output, before you run anything. Code that was sent may have finished: do not send it again.\n\
             3. A chunked operation continues when run_chunked_operation is called with its checkpoint_name alone: finished iterations do not run again. With a \
             new machine its setup runs first; files that only the lost machine had are gone.\n\
             4. list_colab_variables shows whether the variables of other code are still there. If not, run only the setup again.\n\
             5. Tell me in a few lines: what had finished, what failed and why, what runs now, what is lost. Ask me before you repeat work that took long."
        ))
    }

    #[prompt(
        title = "Free memory",
        description = "Find what fills memory, GPU or disk, and free it after asking"
    )]
    fn free_memory(&self, Parameters(args): Parameters<FreeArgs>) -> Vec<PromptMessage> {
        let what = or(args.what, "whatever is short: memory, GPU or disk");
        says(format!(
            "Free {what} on the runtime.\n\n\
             1. check_colab_connection and probe_colab_environment show what is used and what is left. list_jobs shows what runs: leave that alone.\n\
             2. list_colab_variables shows each session's variables, the largest first. For the GPU, look at torch.cuda.memory_summary() or its like; for the \
             disk, at the folders with list_colab_files, and at the caches of pip and of model hubs.\n\
             3. Tell me what you would delete, how much each gives back, and how long it would take to make again. Wait for my answer.\n\
             4. cleanup_colab with the named variables frees them, with the results shown of them, collects garbage and empties the CUDA cache. Delete \
             only those files that I agreed to. Use restart_session only if the memory is not given back, as all variables go.\n\
             5. Measure again, and report before and after."
        ))
    }

    #[prompt(
        title = "Reproduce a notebook",
        description = "Run a notebook from a clean start, and compare what it shows with what it showed"
    )]
    fn reproduce_a_notebook(
        &self,
        Parameters(args): Parameters<ReproduceArgs>,
    ) -> Vec<PromptMessage> {
        let parameters = or(args.parameters, "those in the notebook");
        says(format!(
            "Reproduce the notebook {notebook}. Parameters: {parameters}\n\n\
             1. Read it with get_cells, with outputs: what it needs (packages, files, secrets, GPU), what it claims, and which cells are random. If it is not on \
             the runtime, list_colab_files finds it or upload_to_colab sends it.\n\
             2. probe_colab_environment with its packages shows the versions here. Tell me what differs before you install anything.\n\
             3. Keep the original: run a copy, as running writes new outputs into the file. Run it with run_notebook and restart: true; parameters go into \
             `parameters`, if a cell has that tag. It runs on by itself; follow it with get_output and its path as job_id.\n\
             4. If a cell fails, find the cause and repair it with the smallest change of the copy, one at a time; run_notebook with from_cell goes on from there. \
             Never change a number to make it fit.\n\
             5. Compare each output with the original: the same, different within chance, different, or missing. Report that as a table by cell, with the \
             changes that were needed and the path of the copy.",
            notebook = args.notebook,
        ))
    }
}

fn or(given: Option<String>, default: &str) -> String {
    given.unwrap_or_else(|| default.to_owned())
}

fn says(text: String) -> Vec<PromptMessage> {
    vec![PromptMessage::new_text(Role::User, text)]
}

impl Server {
    /// The prompts whose tools are all switched on.
    pub(super) fn offered_prompts(toolsets: &Toolsets) -> PromptRouter<Self> {
        let mut router = Self::prompt_router();
        for (name, needs) in NEEDS {
            if !needs.iter().all(|toolset| toolsets.has(*toolset)) {
                router.remove_route(name);
            }
        }
        router
    }

    /// The offered prompts, each with its required arguments first: some clients fill them in by position.
    pub(super) fn prompts(&self) -> Vec<Prompt> {
        let mut prompts = self.prompts.list_all();
        for arguments in prompts
            .iter_mut()
            .filter_map(|prompt| prompt.arguments.as_mut())
        {
            arguments.sort_by_key(|argument| argument.required != Some(true));
        }
        prompts
    }

    /// The prompt with its arguments filled in.
    ///
    /// # Errors
    /// For an unknown prompt, and for arguments that are missing or no text.
    pub(super) async fn answer_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let router: &PromptRouter<Self> = &self.prompts;
        let name = request.name;
        let prompts = self.prompts();
        let Some(prompt) = prompts.iter().find(|prompt| prompt.name == name) else {
            let names: Vec<&str> = prompts.iter().map(|prompt| &*prompt.name).collect();
            return Err(methods::unknown_name("prompt", &name, &names));
        };
        // Clients send fields that were left empty.
        let mut arguments = request.arguments.unwrap_or_default();
        arguments.retain(|_, value| value.as_str().is_none_or(|text| !text.trim().is_empty()));
        let wanted = prompt.arguments.iter().flatten().map(|argument| {
            let is_required = argument.required == Some(true);
            let need = if is_required { "required" } else { "optional" };
            format!("{} ({need})", argument.name)
        });
        let wanted = wanted.collect::<Vec<_>>().join(", ");
        let prompt = PromptContext::new(self, name.clone(), Some(arguments), context);
        router.get_prompt(prompt).await.map_err(|error| {
            let message = format!(
                "the arguments of {name} must be texts: {wanted}. {}",
                error.message
            );
            ErrorData::invalid_params(message, None)
        })
    }
}
