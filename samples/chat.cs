// One question, the answer as it comes:
//   CONFIDENTIALCHAT_SERVER_URL=http://127.0.0.1:8080 CONFIDENTIALCHAT_API_KEY=cc_... dotnet run samples/chat.cs
#:project ../src/ConfidentialChat.Client/ConfidentialChat.Client.csproj
#:property RestorePackagesWithLockFile=false

using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;

using var client = new ConfidentialChatClient();

var models = await client.Models.ListAsync();
var request = new ChatCompletionRequest { Model = models.Data[0].Id, Messages = [ChatMessage.User("Who can read this question?")] };
await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request))
    Console.Write(chunk.Choices.FirstOrDefault()?.Delta?.Content);
Console.WriteLine();
