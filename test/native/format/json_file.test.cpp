#include "format/json_file.h"

#include "support/files.h"
#include "testing.h"

using namespace grok;
using namespace grok::format;
using namespace grok::testing;

TEST("takes a byte order mark off, and names a file that is no JSON") {
  const TempDirectory directory;
  write_file(directory / "a.json", "\xef\xbb\xbf{\r\n}");
  CHECK_EQ(read_json_file(directory / "a.json", 100), "{\r\n}");
  write_file(directory / "b.json", "<html>");
  CHECK_ERROR(read_json_file(directory / "b.json", 100), ErrorCode::bad_checkpoint, "expected JSON, found a web page");
  write_file(directory / "c.json", "");
  CHECK_ERROR(read_json_file(directory / "c.json", 100), ErrorCode::bad_checkpoint, "found an empty file");
}

TEST_MAIN()
