//! Every client under `hudson run`: its answer, the ledger's numbers, the key; and how it stops when the budget is
//! spent.

/// Two tests a client: it works, and it stops.
macro_rules! client {
    ($name:ident: $case:expr) => {
        mod $name {
            #[test]
            fn works() {
                $case.works_under_hudson();
            }

            #[test]
            fn stops_when_the_budget_is_spent() {
                $case.stops_when_spent();
            }
        }
    };
}

/// The agents themselves show a person why nothing goes on, and do not try again and again.
mod without_a_route {
    #[test]
    fn claude_code_says_so_and_stops() {
        crate::cases::claude_code().stops_when_not_allowed();
    }

    #[test]
    fn codex_says_so_and_stops() {
        crate::cases::codex().stops_when_not_allowed();
    }

    #[test]
    fn gemini_cli_says_so_and_stops() {
        crate::cases::gemini().stops_when_not_allowed();
    }
}

client!(claude_code: crate::cases::claude_code());
client!(codex: crate::cases::codex());
client!(gemini_cli: crate::cases::gemini());
client!(python_anthropic_sync: crate::cases::python_anthropic("sync", "whole"));
client!(python_anthropic_sync_stream: crate::cases::python_anthropic("sync", "stream"));
client!(python_anthropic_async: crate::cases::python_anthropic("async", "whole"));
client!(python_anthropic_async_stream: crate::cases::python_anthropic("async", "stream"));
client!(python_chat_sync: crate::cases::python_openai("sync", "whole", "chat"));
client!(python_chat_sync_stream: crate::cases::python_openai("sync", "stream", "chat"));
client!(python_chat_async: crate::cases::python_openai("async", "whole", "chat"));
client!(python_chat_async_stream: crate::cases::python_openai("async", "stream", "chat"));
client!(python_responses_sync: crate::cases::python_openai("sync", "whole", "responses"));
client!(python_responses_sync_stream: crate::cases::python_openai("sync", "stream", "responses"));
client!(python_responses_async: crate::cases::python_openai("async", "whole", "responses"));
client!(python_responses_async_stream: crate::cases::python_openai("async", "stream", "responses"));
client!(node_anthropic: crate::cases::node_anthropic("whole"));
client!(node_anthropic_stream: crate::cases::node_anthropic("stream"));
client!(node_chat: crate::cases::node_openai("whole", "chat"));
client!(node_chat_stream: crate::cases::node_openai("stream", "chat"));
client!(node_responses: crate::cases::node_openai("whole", "responses"));
client!(node_responses_stream: crate::cases::node_openai("stream", "responses"));
client!(node_google: crate::cases::node_google("whole"));
client!(node_google_stream: crate::cases::node_google("stream"));
