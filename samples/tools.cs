// A function of this program, called by the model. Question, arguments and result are sealed alike.
//   CONFIDENTIALCHAT_SERVER_URL=http://127.0.0.1:8080 CONFIDENTIALCHAT_API_KEY=cc_... dotnet run samples/tools.cs
#:project ../src/ConfidentialChat.Extensions.AI/ConfidentialChat.Extensions.AI.csproj
#:property RestorePackagesWithLockFile=false


using ConfidentialChat.Client;
using ConfidentialChat.Extensions.AI;
using Microsoft.Extensions.AI;

using var client = new ConfidentialChatClient();
var model = (await client.Models.ListAsync()).Data[0].Id;
using var chat = client.AsIChatClient(model).AsBuilder().UseFunctionInvocation().Build();

var weather = AIFunctionFactory.Create((string city) => $"In {city} it rains.", "weather", "The weather of a city.");
await foreach (var update in chat.GetStreamingResponseAsync("How is the weather in Oslo?", new ChatOptions { Tools = [weather] }))
{
    foreach (var call in update.Contents.OfType<FunctionCallContent>())
        Console.WriteLine($"calls {call.Name}");
    Console.Write(update.Text);
}

Console.WriteLine();
