// The official OpenAI package, unmodified: what it sends is sealed to a verified node.
//   CONFIDENTIALCHAT_SERVER_URL=http://127.0.0.1:8080 CONFIDENTIALCHAT_API_KEY=cc_... dotnet run samples/openai-package.cs
#:project ../src/ConfidentialChat.Client/ConfidentialChat.Client.csproj
#:package OpenAI
#:property RestorePackagesWithLockFile=false

// Not called openai.cs: a program may not have the name of a package that it takes.
using System.ClientModel;
using System.ClientModel.Primitives;
using ConfidentialChat.Client;
using OpenAI;

using var http = new HttpClient(new ConfidentialHttpHandler()) { Timeout = Timeout.InfiniteTimeSpan }; // the handler has clocks of its own
var openai = new OpenAIClient(
    new ApiKeyCredential("unused"), // the gateway's key is the handler's
    new OpenAIClientOptions
    {
        Endpoint = new Uri("https://confidential.invalid/v1"), // nowhere: without the handler nothing would be sent
        Transport = new HttpClientPipelineTransport(http),
        NetworkTimeout = Timeout.InfiniteTimeSpan,
        RetryPolicy = new ClientRetryPolicy(0), // the handler tries again by itself what cost nothing
    });

var models = await openai.GetOpenAIModelClient().GetModelsAsync();
await foreach (var update in openai.GetChatClient(models.Value[0].Id).CompleteChatStreamingAsync("Who can read this question?"))
    Console.Write(string.Concat(update.ContentUpdate.Select(part => part.Text)));
Console.WriteLine();
