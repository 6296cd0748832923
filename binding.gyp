# A thin door for tools that look for binding.gyp: it calls the one build, native/CMakeLists.txt through
# cmake-js. npm does not use it ("gypfile": false in package.json); `npm start` builds by itself.
{
  "targets": [
    {
      "target_name": "sherd",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake-js",
          "inputs": ["native/CMakeLists.txt"],
          "outputs": ["native/build/Release/sherd.node"],
          "action": ["node", "scripts/build.mjs", "addon"]
        }
      ]
    }
  ]
}
