// An agent of Microsoft's framework, with a tool and a memory of what was said.
//   CONFIDENTIALCHAT_SERVER_URL=http://127.0.0.1:8080 CONFIDENTIALCHAT_API_KEY=cc_... dotnet run samples/agent.cs
#:project ../src/ConfidentialChat.Extensions.AI/ConfidentialChat.Extensions.AI.csproj
#:package Microsoft.Agents.AI
#:property RestorePackagesWithLockFile=false


using ConfidentialChat.Client;
using ConfidentialChat.Extensions.AI;
using Microsoft.Agents.AI;
using Microsoft.Extensions.AI;

using var client = new ConfidentialChatClient();
var model = (await client.Models.ListAsync()).Data[0].Id;
var agent = client.AsIChatClient(model).AsAIAgent(
    instructions: "You know the weather.", tools: [AIFunctionFactory.Create((string city) => $"In {city} it rains.", "weather")]);

var session = await agent.CreateSessionAsync();
Console.WriteLine(await agent.RunAsync("How is the weather in Oslo?", session));
Console.WriteLine(await agent.RunAsync("And what do I need to take along?", session));
