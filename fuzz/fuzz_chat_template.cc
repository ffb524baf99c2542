// Chat templates are programs from downloaded files: any of them either renders or fails with a message, in
// bounded time and memory.
#include <ctime>
#include <string>

#include "fuzz/exercise.h"
#include "lowbit/text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lowbit::AllowErrors([&] {
    const lowbit::ChatTemplate chat_template(std::string(reinterpret_cast<const char*>(data), size));
    const lowbit::ChatMessage messages[] = {
        {"system", "Be  brief.", {}}, {"user", " Hello <|im_end|> ", {}}, {"assistant", "Hi\n", {}}};
    lowbit::ChatOptions options;
    options.bos_token = "<s>";
    options.eos_token = "</s>";
    options.tools = nlohmann::ordered_json::parse(
        R"([{"type": "function", "function": {"name": "f", "parameters": {"x": [1, 2.5, null]}}}])");
    options.now = std::tm{};
    options.now->tm_mday = 1;
    RenderChat(chat_template, messages, options);
  });
  return 0;
}
