# A shim for tools that know only node-gyp: the real build is CMakeLists.txt. It stays out of the tarball, because npm runs
# node-gyp on installing a package that has this file.
{
  "targets": [
    {
      "target_name": "grok-run",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/Release/grok-run.node"],
          "action": ["node", "scripts/build-native.mjs"]
        }
      ]
    }
  ]
}
